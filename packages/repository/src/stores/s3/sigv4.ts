import { createHmac, hash } from 'node:crypto'

/**
 * AWS Signature Version 4 in the `Authorization` header.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export interface Credentials {
  readonly accessKey: string
  readonly secretKey: string
}

export interface RequestToSign {
  readonly method: string
  /** Encoded by `encodePath`. */
  readonly path: string
  /** `a=1&b=2`, encoded and sorted by name; empty without a query. */
  readonly query: string
  /** Lower-case names; `host` and everything else to be signed. The time and the payload hash are added. */
  readonly headers: Readonly<Record<string, string>>
  /** SHA-256 of the body, hex; or `UNSIGNED_PAYLOAD`. */
  readonly payloadHash: string
}

export const EMPTY_HASH = hash('sha256', '', 'hex')
/** In place of the hash of a body that the signature does not cover. */
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'

/** The headers to send: those given and `x-amz-date`, `x-amz-content-sha256`, `authorization`. */
export function signRequest(
  request: RequestToSign,
  credentials: Credentials,
  scope: { readonly region: string; readonly service: string; readonly time: Date },
): Record<string, string> {
  const time = scope.time.toISOString().replace(/[:-]|\.\d{3}/g, '')
  const day = time.slice(0, 8)
  const headers: Record<string, string> = { ...request.headers, 'x-amz-content-sha256': request.payloadHash, 'x-amz-date': time }
  const names = Object.keys(headers).sort()
  const signedHeaders = names.join(';')
  const canonical = [
    request.method,
    request.path,
    request.query,
    ...names.map(name => `${name}:${headers[name]!.trim().replace(/ +/g, ' ')}`),
    '',
    signedHeaders,
    request.payloadHash,
  ].join('\n')
  const credentialScope = `${day}/${scope.region}/${scope.service}/aws4_request`
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${credentialScope}\n${hash('sha256', canonical, 'hex')}`
  const signature = createHmac('sha256', signingKey(credentials.secretKey, day, scope.region, scope.service))
    .update(toSign)
    .digest('hex')
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKey}/${credentialScope},SignedHeaders=${signedHeaders},Signature=${signature}`
  return headers
}

/** A path as S3 wants it: every byte but unreserved ones and `/` as %XX, once. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeText).join('/')
}

export function encodeText(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function signingKey(secretKey: string, day: string, region: string, service: string): Buffer {
  return [day, region, service, 'aws4_request'].reduce<Buffer | string>(
    (key, part) => createHmac('sha256', key).update(part).digest(),
    `AWS4${secretKey}`,
  ) as Buffer
}
