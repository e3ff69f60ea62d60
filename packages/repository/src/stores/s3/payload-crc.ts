import * as zlib from 'node:zlib'

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html */
export const CRC32_HEADER = 'x-amz-checksum-crc32'

/** As the header has it: big-endian, base64. undefined where Node has none (before 20.15). */
export function crc32Of(body: Uint8Array): string | undefined {
  if (zlib.crc32 === undefined) return undefined
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(zlib.crc32(body))
  return bytes.toString('base64')
}
