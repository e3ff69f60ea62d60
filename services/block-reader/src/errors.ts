import { type ErrorTable, VarveError } from '@varve/errors'

export const BLOCK_READER_ERRORS = {
  CANCELLED: { retryable: false, status: 409, help: 'Somebody cancelled the run.' },
  SOURCE_UNAVAILABLE: {
    retryable: true,
    status: 502,
    help: 'The platform does not serve the snapshot disk at the moment, though the lease is alive. It is tried again.',
  },
  SOURCE_SIZE_DIFFERS: {
    retryable: false,
    help: 'The snapshot disk is shorter over NBD than the platform said. The platform contradicts itself; look at its log.',
  },
  PARENT_DIFFERS: { retryable: false, help: 'The parent image has another size or block size than the disk. This is a fault in Varve.' },
  LANE_DIED: {
    retryable: true,
    help: 'A worker thread ended while it copied, for example for lack of memory. It is tried again in a new one.',
  },
} as const satisfies ErrorTable

export type BlockReaderErrorCode = keyof typeof BLOCK_READER_ERRORS

export class BlockReaderError extends VarveError<BlockReaderErrorCode> {
  override readonly name = 'BlockReaderError'
  protected override readonly table = BLOCK_READER_ERRORS
}

/** Was it thrown on purpose, with one of these codes? */
export function hasCode(error: unknown, ...codes: readonly string[]): error is VarveError {
  return error instanceof VarveError && codes.includes(error.code)
}
