/** Enum of SCP's task polling. */
export type TaskStatus = 'waiting' | 'doing' | 'finish' | 'failure' | 'canceling' | 'canceled'

/** A task as `GET /janus/20180725/tasks/{id}` answers it. */
export interface Task {
  readonly id: string
  readonly action: string
  /** What it does; after a failure what went wrong. */
  readonly description: string
  readonly object_id: string
  readonly object_name: string
  readonly object_type: string
  readonly status: TaskStatus
  /** -2 queued, -1 failed, 0-99 running, 100 done. */
  readonly progress: number
  readonly begin_time: string
  readonly end_time: string
  readonly cancelable: 0
  readonly entities: { readonly sub_tasks: readonly unknown[] }
  readonly user_id: string
  /** Ours: the error code of a failure. */
  readonly error?: string
}
