import { type ErrorTable, VarveError } from '@varve/errors'

export const BLOCK_WRITER_ERRORS = {
  CANCELLED: { retryable: false, status: 409, help: 'Somebody cancelled the run.' },
  TARGET_UNAVAILABLE: {
    retryable: true,
    status: 502,
    help: 'The platform does not serve the target disk at the moment, though the lease is alive. It is tried again.',
  },
  TARGET_SIZE_DIFFERS: { retryable: false, help: 'The target disk is shorter over NBD than the image that is written to it.' },
  SOURCE_IMAGE_MISSING: { retryable: false, help: 'The range of a restore does not say which image it writes. This is a fault in Varve.' },
  SOURCE_IMAGE_DIFFERS: {
    retryable: false,
    help: 'The image to restore has another size or block size than was planned. This is a fault in Varve.',
  },
  LANE_DIED: {
    retryable: true,
    help: 'A worker thread ended while it wrote, for example for lack of memory. It is tried again in a new one.',
  },
} as const satisfies ErrorTable

export type BlockWriterErrorCode = keyof typeof BLOCK_WRITER_ERRORS

export class BlockWriterError extends VarveError<BlockWriterErrorCode> {
  override readonly name = 'BlockWriterError'
  protected override readonly table = BLOCK_WRITER_ERRORS
}

/** Was it thrown on purpose, with one of these codes? */
export function hasCode(error: unknown, ...codes: readonly string[]): error is VarveError {
  return error instanceof VarveError && codes.includes(error.code)
}
