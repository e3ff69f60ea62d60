import { type ErrorTable, VarveError } from '@varve/errors'

export const REPOSITORY_ERRORS = {
  // The store: this request failed.
  OBJECT_NOT_FOUND: {
    retryable: false,
    status: 404,
    help: 'The repository has no object of that key. If it was never deleted by hand, verify the repository.',
  },
  OBJECT_TOO_LARGE: {
    retryable: false,
    help: 'An object is larger than anything Varve writes under that key; it is not read. Something else wrote there.',
  },
  RANGE_INVALID: {
    retryable: false,
    help: 'A range past the end of an object was asked for: the object is shorter than when it was written.',
  },
  KEY_INVALID: { retryable: false, help: 'A key has characters or parts that are not allowed, such as `..`.' },
  STORE_URL_INVALID: {
    retryable: false,
    status: 422,
    help: 'The repository URL must be `file:///directory` or `s3://bucket/prefix`, and for S3 the credentials must be set.',
  },
  STORE_UNAVAILABLE: {
    retryable: true,
    status: 503,
    help: 'The store cannot be reached, failed, or did not answer in time. It is tried again.',
  },
  STORE_THROTTLED: {
    retryable: true,
    status: 503,
    help: 'The store asks for fewer requests and still did after several tries. Use fewer workers.',
  },
  STORE_TRUNCATED: { retryable: true, help: 'The store sent fewer or more bytes than it announced. It is tried again.' },
  STORE_FULL: {
    retryable: false,
    status: 507,
    help: 'No space is left in the store. Free some or let retention drop restore points, then start the run again.',
  },
  STORE_READ_ONLY: { retryable: false, help: 'The store is mounted read-only.' },
  STORE_DENIED: { retryable: false, help: 'The store refuses access: check credentials, bucket policy or directory permissions.' },
  STORE_REFUSED: {
    retryable: false,
    help: 'The store calls a request wrong; the message has its reason. Something in between may alter requests, or the store is not S3 enough.',
  },
  // The repository in it.
  REPOSITORY_NOT_FOUND: {
    retryable: false,
    status: 404,
    help: 'There is no repository (`varve.json`) at that URL. Check the URL, or create it.',
  },
  REPOSITORY_INVALID: {
    retryable: false,
    help: '`varve.json` is damaged or not one of ours. Restore it from a copy; it never changes after creation.',
  },
  REPOSITORY_VERSION_UNKNOWN: { retryable: false, help: 'The repository was made by a newer Varve. Update this program.' },
  PACK_CORRUPT: {
    retryable: false,
    help: 'A pack is damaged: cut, altered, or not what it says it is. Blocks in it may still be readable one by one.',
  },
  MAP_MISSING: {
    retryable: false,
    help: 'A map object that a root refers to is gone. The restore point cannot be read; the next backup reads the disk in full.',
  },
  MAP_DAMAGED: {
    retryable: false,
    help: 'A map object does not hold the page that its reference describes. The next backup reads the disk in full.',
  },
  BLOCK_DAMAGED: {
    retryable: false,
    help: 'The stored bytes of a block cannot be read back as what was backed up. The next backup of a changed parent stores it anew.',
  },
  CODEC_UNAVAILABLE: {
    retryable: false,
    help: 'A block is compressed with zstd (or lz4), which this process lacks: use Node 22.15 or newer, or install a C++ compiler and run the installation again.',
  },
  MANIFEST_INVALID: { retryable: false, help: 'A restore point manifest is damaged or not one of ours; the point is not offered.' },
  MANIFEST_VERSION_UNKNOWN: { retryable: false, help: 'A restore point manifest was written by a newer Varve. Update this program.' },
  WRITER_CLOSED: { retryable: false, help: 'A pack writer was used after it was finished or aborted.' },
} as const satisfies ErrorTable

export type RepositoryErrorCode = keyof typeof REPOSITORY_ERRORS

export class RepositoryError extends VarveError<RepositoryErrorCode> {
  override readonly name = 'RepositoryError'
  protected override readonly table = REPOSITORY_ERRORS
}
