import { RepositoryError, type RepositoryErrorCode } from '../errors.ts'

const CODES: Readonly<Record<string, RepositoryErrorCode>> = {
  ENOENT: 'OBJECT_NOT_FOUND',
  ENOTDIR: 'OBJECT_NOT_FOUND',
  EISDIR: 'OBJECT_NOT_FOUND',
  ENOSPC: 'STORE_FULL',
  EDQUOT: 'STORE_FULL',
  EFBIG: 'STORE_FULL',
  EROFS: 'STORE_READ_ONLY',
  EACCES: 'STORE_DENIED',
  EPERM: 'STORE_DENIED',
}

/** A file system error as a RepositoryError; what has no code of its own is STORE_UNAVAILABLE. */
export function fileError(error: unknown, doing: string, context: Record<string, unknown>): RepositoryError {
  if (error instanceof RepositoryError) return error
  const errno = (error as NodeJS.ErrnoException).code ?? ''
  const code = CODES[errno] ?? 'STORE_UNAVAILABLE'
  return new RepositoryError(code, `${doing} failed: ${errno || (error instanceof Error ? error.message : String(error))}`, context, {
    cause: error,
  })
}
