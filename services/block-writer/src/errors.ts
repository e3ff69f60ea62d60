import { type ErrorTable, VarveError } from '@varve/errors'

export const BLOCK_WRITER_ERRORS = {
  TARGET_SIZE_DIFFERS: { retryable: false, help: 'The target disk is shorter over NBD than the image that is written to it.' },
  SOURCE_IMAGE_MISSING: { retryable: false, help: 'The range of a restore does not say which image it writes. This is a fault in Varve.' },
  SOURCE_IMAGE_DIFFERS: {
    retryable: false,
    help: 'The image to restore has another size or block size than was planned. This is a fault in Varve.',
  },
} as const satisfies ErrorTable

export type BlockWriterErrorCode = keyof typeof BLOCK_WRITER_ERRORS

export class BlockWriterError extends VarveError<BlockWriterErrorCode> {
  override readonly name = 'BlockWriterError'
  protected override readonly table = BLOCK_WRITER_ERRORS
}
