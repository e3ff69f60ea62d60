import { type FileHandle, open, readFile } from 'node:fs/promises'
import { writeFileAtomically } from '../atomic-file.ts'
import type { Task } from './task.ts'

/** The newest tasks a restart still knows. */
const KEPT = 1000

/** Tasks as JSON lines, one at the begin and one at the end of each; the last line of an id counts. A torn last line is ignored. */
export class TaskJournal {
  readonly #file: FileHandle
  #last: Promise<unknown> = Promise.resolve()

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async open(path: string): Promise<{ readonly journal: TaskJournal; readonly tasks: readonly Task[] }> {
    const tasks = new Map<string, Task>()
    for (const line of (await readIfThere(path)).split('\n')) {
      const task = parseTask(line)
      if (task === undefined) continue
      tasks.delete(task.id)
      tasks.set(task.id, task)
    }
    const kept = [...tasks.values()].slice(-KEPT)
    await writeFileAtomically(path, kept.map(task => `${JSON.stringify(task)}\n`).join(''))
    return { journal: new TaskJournal(await open(path, 'a')), tasks: kept }
  }

  /** Resolves when the line is written (not synced: after a power cut a task may be unknown, after a kill it is not). */
  append(task: Task): Promise<void> {
    const written = this.#last.then(() => this.#file.appendFile(`${JSON.stringify(task)}\n`))
    this.#last = written.catch(() => {})
    return written
  }

  async close(): Promise<void> {
    await this.#last
    await this.#file.close()
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

function parseTask(line: string): Task | undefined {
  try {
    const value = JSON.parse(line) as Partial<Task> | null
    return typeof value === 'object' && typeof value?.id === 'string' && typeof value.status === 'string' ? (value as Task) : undefined
  } catch {
    return undefined
  }
}
