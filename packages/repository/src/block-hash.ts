import { hash } from 'node:crypto'

/** In each thread anew, and read into the cache for each block that begins with zeros: not larger than the usual block. */
const ZEROS = Buffer.alloc(256 * 1024)

/** The id of a block: SHA-256 of its bytes, 32 B. */
export function formatHash(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer')
}

/** Is every byte zero? Usual blocks are compared in one native call. */
export function isZero(bytes: Uint8Array): boolean {
  // Nearly every block that is not zero shows it in its first bytes.
  if (bytes.length > 0 && bytes[0] !== 0) return false
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length)
    if (Buffer.compare(part, part.length === ZEROS.length ? ZEROS : ZEROS.subarray(0, part.length)) !== 0) return false
  }
  return true
}
