import type { BlockCoder } from './codec.ts'
import { optionalModule } from './optional-module.ts'

interface Lz4Napi {
  compressSync(input: Uint8Array): Buffer
  uncompressSync(input: Uint8Array): Buffer
}

const lz4Napi = optionalModule<Lz4Napi>('lz4-napi')

/** Stored as the length of the block, u32 little-endian, and an lz4 block. */
export function lz4Coders(): BlockCoder[] {
  const native = lz4Napi()
  if (native === undefined) return []
  return [
    {
      name: 'lz4-napi',
      compressInto: (target, block) => {
        const bytes = native.compressSync(block)
        target.set(bytes)
        return bytes.length
      },
      decompress: (stored, target) => {
        if (stored.length < 4) throw new Error('it is cut')
        // The library takes memory for whatever length is stated.
        const length = Buffer.from(stored.buffer, stored.byteOffset, 4).readUInt32LE(0)
        if (length > target.length) throw new Error(`it states ${length} bytes`)
        return native.uncompressSync(stored)
      },
    },
  ]
}
