import { createCipheriv, createHash } from 'node:crypto'
/** Reproducible bytes that do not compress: a function of the seed. */
export function noise(seed, length) {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}
/** SHA-256 of a whole export, read in 4 MiB steps. */
export async function exportHash(disk) {
  const hash = createHash('sha256')
  const buffer = Buffer.alloc(4 * 1024 * 1024)
  for (let offset = 0; offset < disk.size; offset += buffer.length) {
    const target = buffer.subarray(0, Math.min(buffer.length, disk.size - offset))
    await disk.readInto(offset, target)
    hash.update(target)
  }
  return hash.digest('hex')
}
//# sourceMappingURL=pattern.js.map
