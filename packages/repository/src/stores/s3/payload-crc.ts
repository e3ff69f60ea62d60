import { crc32 } from 'node:zlib'
import { hasCode, type VarveError } from '@varve/errors'

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html */
export const CRC32_HEADER = 'x-amz-checksum-crc32'

/** As the header has it: big-endian, base64. */
export function crc32Of(body: Uint8Array): string {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(crc32(body))
  return bytes.toString('base64')
}

/**
 * Whether a store looks at a body's CRC-32: `unknown` until it has answered a signed body that came with one, `yes` when it told the same one back. A
 * store that never heard of the header takes the object and is silent about it; such a one, and one that refuses bodies without signature, gets signed
 * ones only.
 */
export type ChecksCrc = 'unknown' | 'yes' | 'no'

/** May it be the way of signing that was refused? Not who asked, nor when. */
export function isRefusalOfForm(error: unknown): error is VarveError {
  if (hasCode(error, 'STORE_REFUSED')) return true
  return hasCode(error, 'STORE_DENIED') && ['AccessDenied', ''].includes(String(error.context.s3Code))
}
