import { createCipheriv, createHash } from 'node:crypto'

const COUNTER = Buffer.alloc(16)
let zeros = Buffer.alloc(64 * 1024)

/** Reproducible bytes that do not compress: a function of the seed. */
export function noise(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  if (length > zeros.length) zeros = Buffer.alloc(length)
  return createCipheriv('aes-256-ctr', key, COUNTER).update(zeros.subarray(0, length))
}

/** SHA-256 of a whole export, read in 4 MiB steps. */
export async function exportHash(disk: {
  readonly size: number
  readInto(offset: number, target: Uint8Array): Promise<void>
}): Promise<string> {
  const hash = createHash('sha256')
  const buffer = Buffer.alloc(4 * 1024 * 1024)
  for (let offset = 0; offset < disk.size; offset += buffer.length) {
    const target = buffer.subarray(0, Math.min(buffer.length, disk.size - offset))
    await disk.readInto(offset, target)
    hash.update(target)
  }
  return hash.digest('hex')
}
