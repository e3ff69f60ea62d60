import { randomUUID } from 'node:crypto'
import { errorReport } from '@varve/errors'
import type { Logger } from '@varve/runtime'
import { HciError } from '../errors.ts'
import { TaskJournal } from './journal.ts'
import type { Task } from './task.ts'

const KEPT = 10_000

export interface TaskSpec {
  readonly action: string
  readonly description: string
  readonly objectType: 'server' | 'snapshot' | 'backup-resource'
  readonly objectId: string
  readonly objectName: string
  readonly user: string
  /** The VM that no other operation may touch meanwhile. */
  readonly locks?: string
}

export interface TaskHandle {
  /** Aborts when the platform stops. */
  readonly signal: AbortSignal
  /** 0..1 */
  progress(fraction: number): void
}

/**
 * Work that goes on after its call was answered. A VM has one locking task at a time: the next one is refused with VM_BUSY. Tasks that a
 * stop or a kill ended are failures after the next start.
 */
export class Tasks {
  readonly #journal: TaskJournal
  readonly #log: Logger
  readonly #tasks = new Map<string, Task>()
  readonly #locks = new Map<string, string>()
  readonly #running = new Set<Promise<void>>()
  readonly #abort = new AbortController()

  private constructor(journal: TaskJournal, log: Logger) {
    this.#journal = journal
    this.#log = log
  }

  static async open(path: string, log: Logger): Promise<Tasks> {
    const { journal, tasks } = await TaskJournal.open(path)
    const opened = new Tasks(journal, log)
    for (const task of tasks) {
      opened.#tasks.set(
        task.id,
        task.status === 'waiting' || task.status === 'doing'
          ? failed(task, 'INTERRUPTED', 'the platform was restarted while the task ran')
          : task,
      )
    }
    return opened
  }

  get(id: string): Task {
    const task = this.#tasks.get(id)
    if (task === undefined) throw new HciError('TASK_NOT_FOUND', `no task ${id}`)
    return task
  }

  /** The task that holds the VM. */
  holding(vmId: string): Task | undefined {
    const id = this.#locks.get(vmId)
    return id === undefined ? undefined : this.#tasks.get(id)
  }

  /** Throws VM_BUSY when a task holds the VM. */
  requireIdle(vmId: string): void {
    const task = this.holding(vmId)
    if (task !== undefined) {
      throw new HciError('VM_BUSY', `another operation on the VM is in progress: ${task.action} (task ${task.id})`, { taskId: task.id })
    }
  }

  /** Takes the lock before anything is awaited, so what the caller checked in the same turn still holds when the task has it. */
  async start(spec: TaskSpec, work: (handle: TaskHandle) => Promise<void>): Promise<Task> {
    if (spec.locks !== undefined) this.requireIdle(spec.locks)
    const task: Task = {
      id: randomUUID(),
      action: spec.action,
      description: spec.description,
      object_id: spec.objectId,
      object_name: spec.objectName,
      object_type: spec.objectType,
      status: 'waiting',
      progress: -2,
      begin_time: new Date().toISOString(),
      end_time: '',
      cancelable: 0,
      entities: { sub_tasks: [] },
      user_id: spec.user,
    }
    if (spec.locks !== undefined) this.#locks.set(spec.locks, task.id)
    this.#remember(task)
    const running = this.#run(task, spec, work)
    this.#running.add(running)
    void running.finally(() => this.#running.delete(running))
    await this.#journal.append(task)
    return task
  }

  /** Stop: work that listens to its signal ends as a failure, the rest is waited for. */
  async close(): Promise<void> {
    this.#abort.abort(new Error('the platform is stopping'))
    await Promise.allSettled(this.#running)
    await this.#journal.close()
  }

  async #run(task: Task, spec: TaskSpec, work: (handle: TaskHandle) => Promise<void>): Promise<void> {
    const started = performance.now()
    this.#tasks.set(task.id, { ...task, status: 'doing', progress: 0 })
    const progress = (fraction: number): void => {
      const percent = Math.max(0, Math.min(99, Math.floor(fraction * 100)))
      this.#tasks.set(task.id, { ...task, status: 'doing', progress: percent })
    }
    let ended: Task
    try {
      await work({ signal: this.#abort.signal, progress })
      ended = { ...task, status: 'finish', progress: 100, end_time: new Date().toISOString() }
      this.#log.info(
        { taskId: task.id, action: task.action, objectId: task.object_id, ms: Math.round(performance.now() - started) },
        'task finished',
      )
    } catch (error) {
      const { code, message } = errorReport(error)
      ended = failed(task, code, message)
      this.#log.warn({ taskId: task.id, action: task.action, objectId: task.object_id, err: error }, 'task failed')
    } finally {
      if (spec.locks !== undefined) this.#locks.delete(spec.locks)
    }
    this.#tasks.set(task.id, ended)
    await this.#journal.append(ended).catch(error => this.#log.error({ err: error, taskId: task.id }, 'task not recorded'))
  }

  #remember(task: Task): void {
    if (this.#tasks.size >= KEPT) {
      for (const [id, old] of this.#tasks) {
        if (old.end_time === '') continue
        this.#tasks.delete(id)
        break
      }
    }
    this.#tasks.set(task.id, task)
  }
}

function failed(task: Task, error: string, message: string): Task {
  return { ...task, status: 'failure', progress: -1, description: message, error, end_time: new Date().toISOString() }
}
