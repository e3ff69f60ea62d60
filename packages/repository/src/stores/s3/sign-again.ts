import type http from 'node:http'
import type { S3Target } from './s3-target.ts'
import { EMPTY_HASH, signRequest } from './sigv4.ts'

/** A request of minio-js, which signs by this machine's clock and can't be told another, signed anew. */
export function signAgain(options: http.RequestOptions, { credentials, region }: S3Target, time: Date): http.RequestOptions {
  const headers: Record<string, string> = {}
  const toSign: Record<string, string> = {}
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    const lower = name.toLowerCase()
    if (lower === 'authorization' || lower === 'x-amz-date') continue
    headers[lower] = String(value)
    if (lower === 'host' || lower === 'content-md5' || (lower.startsWith('x-amz-') && lower !== 'x-amz-content-sha256')) {
      toSign[lower] = String(value)
    }
  }
  const [path = '/', query = ''] = (options.path ?? '/').split('?')
  const request = {
    method: options.method ?? 'GET',
    path,
    query: query
      .split('&')
      .filter(part => part !== '')
      .map(part => (part.includes('=') ? part : `${part}=`))
      .sort()
      .join('&'),
    headers: toSign,
    payloadHash: headers['x-amz-content-sha256'] ?? EMPTY_HASH,
  }
  return { ...options, headers: { ...headers, ...signRequest(request, credentials, { region, service: 's3', time }) } }
}
