import { type ErrorTable, VarveError } from '@varve/errors'

export const BLOCK_READER_ERRORS = {
  SOURCE_SIZE_DIFFERS: {
    retryable: false,
    help: 'The snapshot disk is shorter over NBD than the platform said. The platform contradicts itself; look at its log.',
  },
  PARENT_DIFFERS: { retryable: false, help: 'The parent image has another size or block size than the disk. This is a fault in Varve.' },
} as const satisfies ErrorTable

export type BlockReaderErrorCode = keyof typeof BLOCK_READER_ERRORS

export class BlockReaderError extends VarveError<BlockReaderErrorCode> {
  override readonly name = 'BlockReaderError'
  protected override readonly table = BLOCK_READER_ERRORS
}
