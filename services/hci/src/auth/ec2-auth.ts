import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { HciError } from '../errors.ts'

/**
 * SCP's "EC2Auth": AWS Signature Version 4 with three differences seen in public clients: the query string is never part of the signature
 * (the canonical query is empty), the list of signed headers varies (`cookie;x-amz-date`, `path;x-amz-date`, `x-amz-date`), and region and
 * service are taken as the client names them.
 */
export interface SignedRequest {
  readonly method: string
  /** As sent, without the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface Ec2Credential {
  readonly accessKey: string
  readonly scope: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
}

const HEADER =
  /^AWS4-HMAC-SHA256\s+Credential=([^/,\s]{1,128})\/(\d{8}\/[\w.-]{1,64}\/[\w.-]{1,64}\/aws4_request),\s*SignedHeaders=([a-z0-9;-]{1,500}),\s*Signature=([0-9a-f]{64})\s*$/

/** How far the client's clock may be off. */
const SKEW_MS = 15 * 60_000

export function parseEc2Header(authorization: string): Ec2Credential {
  const match = HEADER.exec(authorization)
  if (match === null)
    throw new HciError(
      'AUTH_FAILED',
      'the Authorization header is not of the form AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…',
    )
  const [, accessKey = '', scope = '', signed = '', signature = ''] = match
  const signedHeaders = signed.split(';')
  if (!signedHeaders.includes('x-amz-date')) throw new HciError('AUTH_FAILED', 'x-amz-date must be signed')
  return { accessKey, scope, signedHeaders, signature }
}

/** Throws AUTH_FAILED unless the signature is right and its date is near `now`. */
export function verifyEc2(credential: Ec2Credential, secretKey: string, request: SignedRequest, now: number): void {
  const date = one(request.headers['x-amz-date'])
  const at = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date)
  const time = at === null ? Number.NaN : Date.UTC(+at[1]!, +at[2]! - 1, +at[3]!, +at[4]!, +at[5]!, +at[6]!)
  if (!(Math.abs(now - time) <= SKEW_MS) || !credential.scope.startsWith(date.slice(0, 8))) {
    throw new HciError('AUTH_FAILED', 'X-Amz-Date is missing, malformed or more than 15 minutes off')
  }
  const expected = Buffer.from(ec2Signature(credential, secretKey, date, request), 'hex')
  if (!timingSafeEqual(expected, Buffer.from(credential.signature, 'hex'))) {
    throw new HciError('AUTH_FAILED', 'the signature does not match')
  }
}

/** The signature as 64 hex characters. */
export function ec2Signature(
  credential: Pick<Ec2Credential, 'scope' | 'signedHeaders'>,
  secretKey: string,
  date: string,
  { method, path, headers, body }: SignedRequest,
): string {
  const canonical = [
    method.toUpperCase(),
    path,
    '',
    // `path` is a made-up header of one public client: its value is the path where no such header was sent.
    ...credential.signedHeaders.map(name => `${name}:${(one(headers[name]) || (name === 'path' ? path : '')).trim()}`),
    '',
    credential.signedHeaders.join(';'),
    createHash('sha256').update(body).digest('hex'),
  ].join('\n')
  const text = ['AWS4-HMAC-SHA256', date, credential.scope, createHash('sha256').update(canonical).digest('hex')].join('\n')
  const key = credential.scope.split('/').reduce<Uint8Array>((k, part) => hmac(k, part), Buffer.from(`AWS4${secretKey}`))
  return hmac(key, text).toString('hex')
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function one(value: string | string[] | undefined): string {
  return Array.isArray(value) ? value.join(',') : (value ?? '')
}
