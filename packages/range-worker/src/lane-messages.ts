import { VarveError } from '@varve/errors'
import type { DiskAddress } from '@varve/platform'
import type { StoreSettings } from '@varve/repository'

/** What crosses between a service and its lanes: plans and counts, never the bytes of a disk. */

/** What a lane is started with. */
export interface LaneSettings {
  readonly repositoryUrl: string
  readonly storeSettings: StoreSettings
  /** Gets of blocks at the same time; the repository's own number when absent. */
  readonly getsInFlight?: number | undefined
  /** Of blocks that it compresses with zstd; the repository's own when absent. */
  readonly zstdLevel?: number | undefined
}

/** What a lane is told to do; each service adds its own. */
export interface LaneTask {
  /** The disk to read or write. */
  readonly disk: DiskAddress
  /** What its connection may carry; null: as much as it can. */
  readonly bytesPerSecond: number | null
}

/** Bytes so far. */
export interface RangeProgress {
  readonly read: number
  readonly written: number
}

export type ToLane<Task extends LaneTask> =
  | { readonly type: 'run'; readonly id: number; readonly task: Task }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'close' }

export type FromLane<Result> =
  /** `steps` grows whenever something was done, also where no byte counts for it (holes). */
  | { readonly type: 'progress'; readonly id: number; readonly progress: RangeProgress; readonly steps: number }
  | { readonly type: 'done'; readonly id: number; readonly result: Result }
  | { readonly type: 'failed'; readonly id: number; readonly error: LaneFailure }

export interface LaneFailure {
  readonly code: string
  readonly message: string
  readonly retryable: boolean
  readonly context: Readonly<Record<string, unknown>>
}

/** An error of a lane, thrown again in the service with the code it had. */
export class LaneError extends VarveError {
  override readonly name = 'LaneError'
  protected override readonly table

  constructor({ code, message, retryable, context }: LaneFailure) {
    super(code, message, { ...context })
    this.table = { [code]: { retryable, help: '' } }
  }
}
