import { type ErrorTable, VarveError } from '@varve/errors'

export const BLOCK_MAP_ERRORS = {
  MAP_CORRUPT: {
    retryable: false,
    help: 'A page, page reference or root is damaged: cut, altered, or not what it says it is. Verify the repository; the next backup reads the disk in full.',
  },
  MAP_VERSION_UNKNOWN: {
    retryable: false,
    help: 'A page or root was written by a newer Varve, or uses a codec that this one does not know. Update this program.',
  },
  GEOMETRY_INVALID: {
    retryable: false,
    status: 422,
    help: 'A disk size or block size is out of bounds, or two maps of different geometry were compared.',
  },
  PAGES_CONFLICT: {
    retryable: false,
    help: 'The same page was given twice where one is wanted, so that it is not known which one counts.',
  },
} as const satisfies ErrorTable

export type BlockMapErrorCode = keyof typeof BLOCK_MAP_ERRORS

export class BlockMapError extends VarveError<BlockMapErrorCode> {
  override readonly name = 'BlockMapError'
  protected override readonly table = BLOCK_MAP_ERRORS
}
