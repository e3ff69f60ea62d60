import { createHash, createHmac, randomBytes } from 'node:crypto'

export interface SigningKey {
  readonly accessKey: string
  readonly secretKey: string
  readonly region: string
  readonly service: string
  /** Of `x-amz-date`, `cookie`, `path`: public clients differ, so it is a setting. `x-amz-date` is always among them. */
  readonly signedHeaders: readonly string[]
}

/**
 * SCP's "EC2Auth" (AK/SK): AWS Signature Version 4, where the query string is never part of the signature and `host` is not signed.
 *
 * @param path as sent, without the query
 * @returns the headers to send
 */
export function signRequest(key: SigningKey, method: string, path: string, body: string, now: Date): Record<string, string> {
  const date = `${now.toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  const scope = `${date.slice(0, 8)}/${key.region}/${key.service}/aws4_request`
  const names = [...new Set([...key.signedHeaders.map(name => name.toLowerCase()), 'x-amz-date'])].sort()
  const headers: Record<string, string> = {}
  for (const name of names) {
    if (name === 'x-amz-date') headers[name] = date
    else if (name === 'path') headers[name] = path
    else if (name === 'cookie') headers[name] = `aCMPAuthToken=${randomBytes(16).toString('hex')}`
  }
  const signed = Object.keys(headers)
  const canonical = [method, path, '', ...signed.map(name => `${name}:${headers[name]}`), '', signed.join(';'), sha256(body)].join('\n')
  const signingKey = scope.split('/').reduce<Uint8Array>((k, part) => hmac(k, part), Buffer.from(`AWS4${key.secretKey}`))
  const signature = hmac(signingKey, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).toString('hex')
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${key.accessKey}/${scope}, SignedHeaders=${signed.join(';')}, Signature=${signature}`,
  }
}

function sha256(content: string): string {
  return createHash('sha256').update(content).digest('hex')
}

function hmac(key: Uint8Array, content: string): Buffer {
  return createHmac('sha256', key).update(content).digest()
}
