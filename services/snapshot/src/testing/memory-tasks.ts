import { PlatformError } from '@varve/platform'

/** What a test does while the platform makes something: the caller waits, and may be killed there. */
export type During = () => Promise<void>

/** Looks at the platform, by anybody, that a task outlives whoever waited for it. */
const LOOKS_A_TASK_TAKES = 4

interface Task {
  readonly vmId: string
  readonly end: () => void
  looks: number
}

/** Tasks that hold VMs. What a task makes is there when it ends, whether anybody still waits for it or not. */
export class MemoryTasks {
  #tasks: Task[] = []

  /** Begin a task, wait for it, end it. When `during` throws, the waiting process is dead and the task goes on. */
  async run(vmId: string, during: During | undefined, end: () => void): Promise<void> {
    const task: Task = { vmId, end, looks: 0 }
    this.#tasks.push(task)
    await during?.()
    this.#end(task)
  }

  /** Time passes as long as somebody looks. */
  look(): void {
    for (const task of this.#tasks) if (++task.looks > LOOKS_A_TASK_TAKES) this.#end(task)
  }

  endAll(): void {
    for (const task of this.#tasks) this.#end(task)
  }

  isBusy(vmId: string): boolean {
    return this.#tasks.some(task => task.vmId === vmId)
  }

  requireIdle(vmId: string): void {
    if (this.isBusy(vmId)) throw new PlatformError('VM_BUSY', `VM ${vmId} has a task under way`)
  }

  #end(task: Task): void {
    if (!this.#tasks.includes(task)) return
    this.#tasks = this.#tasks.filter(other => other !== task)
    task.end()
  }
}
