import { type ErrorTable, VarveError } from '@varve/errors'

export const QUEUE_ERRORS = {
  QUEUE_UNREACHABLE: {
    retryable: true,
    status: 503,
    help: 'The queue server (Redis or Postgres) did not answer in time. Check VARVE_QUEUE_URL and that the server runs; nothing is lost, the catalog knows every unfinished run.',
  },
  QUEUE_REFUSED: {
    retryable: false,
    status: 503,
    help: 'The queue server answers but refuses us: wrong credentials or database, too old, or its schema belongs to a newer version.',
  },
  QUEUE_URL_INVALID: {
    retryable: false,
    help: 'The queue URL must be redis://, rediss://, postgres:// or postgresql:// and must not carry an `options` parameter.',
  },
  QUEUE_JOB_INVALID: {
    retryable: false,
    status: 400,
    help: 'A job with an unknown name, an empty or oversized id, or a payload that does not fit its name. A fault of the caller.',
  },
  QUEUE_CLOSED: { retryable: false, help: 'The door to the queue was closed already; the process is stopping.' },
} as const satisfies ErrorTable

export type QueueErrorCode = keyof typeof QUEUE_ERRORS

export class QueueError extends VarveError<QueueErrorCode> {
  override readonly name = 'QueueError'
  protected override readonly table = QUEUE_ERRORS
}
