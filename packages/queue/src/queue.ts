/**
 * The queues, one per kind of job, a fixed set (each name costs a sequence in Postgres). Payloads carry ids only.
 * A job is a hint to look at the catalog; it may be delivered twice, late, or to two workers at once.
 */
export interface JobPayloads {
  'prepare-backup': { readonly runId: string }
  'read-range': { readonly runId: string; readonly rangeId: string }
  'seal-restore-point': { readonly runId: string }
  'prepare-restore': { readonly runId: string }
  'write-range': { readonly runId: string; readonly rangeId: string }
  'finish-run': { readonly runId: string }
  'prepare-preview': { readonly runId: string }
}
export type JobName = keyof JobPayloads
export const JOB_NAMES = [
  'prepare-backup',
  'read-range',
  'seal-restore-point',
  'prepare-restore',
  'write-range',
  'finish-run',
  'prepare-preview',
] as const satisfies readonly JobName[]

/** Which of two jobs that wait is given out first; of the same, the older. */
export type JobPriority = 'low' | 'normal' | 'high'

export interface AddOptions {
  readonly id: string
  readonly delayMs?: number
  /** Default `normal`. A job that waits already keeps the one it has. */
  readonly priority?: JobPriority
}

export interface Job<Name extends JobName> {
  readonly name: Name
  readonly payload: JobPayloads[Name]
  /** 1 for the first delivery. */
  readonly attempt: number
  /** No further delivery will follow a failure of this one. */
  readonly lastAttempt: boolean
}

export type JobHandler<Name extends JobName> = (job: Job<Name>, signal: AbortSignal) => Promise<void>

export interface QueueDoor {
  /**
   * Add a job. The same `id` while a job of that id is waiting or active is the same job. Retried inside on passing faults of the server;
   * then QUEUE_UNREACHABLE.
   */
  add<Name extends JobName>(name: Name, payload: JobPayloads[Name], options: AddOptions): Promise<void>
  /** Work on jobs until closed. A handler that throws is tried again with backoff, `attempts` times in all. */
  work<Name extends JobName>(name: Name, handler: JobHandler<Name>, options: { readonly concurrency: number }): Promise<QueueWorker>
  /** Waiting, active, delayed and failed jobs of a queue. */
  counts(name: JobName): Promise<{ waiting: number; active: number; delayed: number; failed: number }>
  close(): Promise<void>
}

export interface QueueWorker {
  /** Stop taking jobs; wait for the ones under way up to `graceMs`, then abort their signals. */
  close(graceMs?: number): Promise<void>
}
