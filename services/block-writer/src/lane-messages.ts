import type { RangeResult } from '@varve/catalog-client'
import { VarveError } from '@varve/errors'
import type { DiskAddress } from '@varve/platform'
import type { StoreSettings } from '@varve/repository'
import type { WriteProgress, WriteTask } from './restore-range.ts'

/** What crosses between the service and a lane: plans and counts, never the bytes of a disk. */

/** What a lane is started with. */
export interface LaneSettings {
  readonly repositoryUrl: string
  readonly storeSettings: StoreSettings
}

export interface LaneTask extends WriteTask {
  readonly target: DiskAddress
}

export type ToLane =
  | { readonly type: 'run'; readonly id: number; readonly task: LaneTask }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'close' }

export type FromLane =
  | { readonly type: 'progress'; readonly id: number; readonly progress: WriteProgress }
  | { readonly type: 'done'; readonly id: number; readonly result: RangeResult }
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
