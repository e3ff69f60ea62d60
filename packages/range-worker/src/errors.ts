import { type ErrorTable, VarveError } from '@varve/errors'

export const RANGE_WORKER_ERRORS = {
  CANCELLED: { retryable: false, status: 409, help: 'Somebody cancelled the run.' },
  SOURCE_UNAVAILABLE: {
    retryable: true,
    status: 502,
    help: 'The platform does not serve the snapshot disk at the moment, though the lease is alive. It is tried again.',
  },
  TARGET_UNAVAILABLE: {
    retryable: true,
    status: 502,
    help: 'The platform does not serve the target disk at the moment, though the lease is alive. It is tried again.',
  },
  RANGE_STALLED: {
    retryable: true,
    status: 504,
    help: 'A range made no progress for minutes: the platform or the store answers, but far too slowly. It is tried again over new connections.',
  },
  LANE_DIED: {
    retryable: true,
    help: 'A worker thread ended while it worked on a range, for example for lack of memory. It is tried again in a new one.',
  },
} as const satisfies ErrorTable

export type RangeWorkerErrorCode = keyof typeof RANGE_WORKER_ERRORS

export class RangeWorkerError extends VarveError<RangeWorkerErrorCode> {
  override readonly name = 'RangeWorkerError'
  protected override readonly table = RANGE_WORKER_ERRORS
}
