import { RepositoryError, type RepositoryErrorCode } from '../../errors.ts'

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and those of MinIO and Ceph that differ. */
const BY_S3_CODE: Readonly<Record<string, RepositoryErrorCode>> = {
  NoSuchKey: 'OBJECT_NOT_FOUND',
  NoSuchUpload: 'OBJECT_NOT_FOUND',
  NoSuchBucket: 'STORE_URL_INVALID',
  InvalidBucketName: 'STORE_URL_INVALID',
  PermanentRedirect: 'STORE_URL_INVALID',
  TemporaryRedirect: 'STORE_UNAVAILABLE',
  AuthorizationHeaderMalformed: 'STORE_URL_INVALID',
  InvalidRange: 'RANGE_INVALID',
  SlowDown: 'STORE_THROTTLED',
  SlowDownRead: 'STORE_THROTTLED',
  SlowDownWrite: 'STORE_THROTTLED',
  TooManyRequests: 'STORE_THROTTLED',
  RequestLimitExceeded: 'STORE_THROTTLED',
  InsufficientCapacity: 'STORE_FULL',
  QuotaExceeded: 'STORE_FULL',
  XMinioStorageFull: 'STORE_FULL',
  XMinioAdminBucketQuotaExceeded: 'STORE_FULL',
  AccessDenied: 'STORE_DENIED',
  AccountProblem: 'STORE_DENIED',
  InvalidAccessKeyId: 'STORE_DENIED',
  SignatureDoesNotMatch: 'STORE_DENIED',
  RequestTimeTooSkewed: 'STORE_DENIED',
  NotImplemented: 'STORE_REFUSED',
  // Damaged on the way: sending it again helps.
  BadDigest: 'STORE_UNAVAILABLE',
  XAmzContentSHA256Mismatch: 'STORE_UNAVAILABLE',
  XAmzContentChecksumMismatch: 'STORE_UNAVAILABLE',
  IncompleteBody: 'STORE_UNAVAILABLE',
  RequestTimeout: 'STORE_UNAVAILABLE',
}

const BY_STATUS: Readonly<Record<number, RepositoryErrorCode>> = {
  401: 'STORE_DENIED',
  403: 'STORE_DENIED',
  404: 'OBJECT_NOT_FOUND',
  408: 'STORE_UNAVAILABLE',
  416: 'RANGE_INVALID',
  429: 'STORE_THROTTLED',
  503: 'STORE_THROTTLED',
  507: 'STORE_FULL',
}

export interface S3Failure {
  /** 0 when it is not known. */
  readonly status: number
  /** `<Code>` of the answer, if it had one. */
  readonly s3Code: string
  readonly message?: string
  readonly retryAfterMs?: number
}

/** What an S3 error answer means to us. */
export function s3Error(doing: string, failure: S3Failure, context: Record<string, unknown> = {}): RepositoryError {
  const { status, s3Code, message, retryAfterMs } = failure
  const code = BY_S3_CODE[s3Code] ?? BY_STATUS[status] ?? (status >= 500 ? 'STORE_UNAVAILABLE' : 'STORE_REFUSED')
  const facts = { ...context, status, s3Code, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  const said = [s3Code, message].filter(Boolean).join(': ') || `HTTP ${status}`
  return new RepositoryError(code, `${doing} failed: ${said}`, facts)
}

/** Anything that went wrong below HTTP: refused, reset, timed out. */
export function connectionError(doing: string, cause: unknown, context: Record<string, unknown> = {}): RepositoryError {
  if (cause instanceof RepositoryError) return cause
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  const why = code ?? (cause instanceof Error ? cause.message || cause.name : String(cause))
  return new RepositoryError('STORE_UNAVAILABLE', `${doing} failed: ${why}`, context, { cause })
}

/** `<Code>` and `<Message>` of an error document; empty for anything else. */
export function parseErrorDocument(body: string): { readonly s3Code: string; readonly message: string } {
  return {
    s3Code: /<Code>([A-Za-z0-9.]{1,80})<\/Code>/.exec(body)?.[1] ?? '',
    message: /<Message>([^<]{1,300})/.exec(body)?.[1] ?? '',
  }
}
