import { randomBytes } from 'node:crypto'
import { CODECS, type Codec } from '@varve/block-map'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RepositoryError } from '../errors.ts'
import { blockOf } from '../testing/blocks.ts'
import { type BlockCoder, compressBound, decompress, openCompressor } from './codec.ts'
import { lz4Coders } from './lz4.ts'
import { zstdCoders } from './zstd.ts'

const BLOCK = 65_536
const CODERS: [name: string, codec: Codec, coder: BlockCoder][] = [
  ...zstdCoders().map((coder): [string, Codec, BlockCoder] => [`zstd by ${coder.name}`, CODECS.zstd, coder]),
  ...lz4Coders().map((coder): [string, Codec, BlockCoder] => [`lz4 by ${coder.name}`, CODECS.lz4, coder]),
]

test('there are zstd and lz4', ctx => {
  if (zstdCoders().length === 0) ctx.skip('no zstd: install a C++ compiler, or use Node 22.15 or newer')
  if (lz4Coders().length === 0) ctx.skip('lz4-napi has no build for this platform')
})

describe.each(CODERS)('%s', (_name, codec, coder) => {
  function compress(block: Uint8Array): Buffer {
    const target = Buffer.alloc(compressBound(block.length))
    return target.subarray(0, coder.compressInto(target, block))
  }

  test('gives back blocks of every sort, within its bound, and others can read them', () => {
    for (const block of [
      blockOf(BLOCK, 1, 'text'),
      randomBytes(BLOCK),
      Buffer.alloc(BLOCK),
      Buffer.from('x'),
      randomBytes(4 * 1024 * 1024),
    ]) {
      const stored = compress(block)
      expect(Buffer.compare(coder.decompress(stored, Buffer.alloc(block.length)), block)).toBe(0)
      expect(Buffer.compare(decompress(codec, stored, Buffer.alloc(block.length)), block)).toBe(0)
    }
  })

  test('compresses what can be compressed', () => {
    expect(compress(blockOf(BLOCK, 1, 'text')).length).toBeLessThan(BLOCK / 4)
  })

  test('refuses a block that would be longer than allowed', () => {
    const bomb = compress(Buffer.alloc(4 * 1024 * 1024))
    expect(bomb.length).toBeLessThan(20_000)
    for (const stored of [bomb, Buffer.alloc(100, 0xff), Buffer.alloc(3)]) {
      expect(() => coder.decompress(stored, Buffer.alloc(BLOCK))).toThrow()
      expect(() => decompress(codec, stored, Buffer.alloc(BLOCK))).toThrow(expect.objectContaining({ code: 'BLOCK_DAMAGED' }))
    }
  })

  test('never does worse than BLOCK_DAMAGED with cut and altered bytes', () => {
    const stored = compress(blockOf(BLOCK, 7, 'text'))
    fc.assert(
      fc.property(fc.nat(stored.length - 1), fc.nat(255), fc.boolean(), (at, mask, cut) => {
        const altered = Buffer.from(cut ? stored.subarray(0, at) : stored)
        if (!cut) altered[at]! ^= mask
        try {
          expect(decompress(codec, altered, Buffer.alloc(BLOCK)).length).toBeLessThanOrEqual(BLOCK)
        } catch (error) {
          if (!(error instanceof RepositoryError)) throw error
          expect(error.code).toBe('BLOCK_DAMAGED')
        }
      }),
    )
  })
})

test('raw blocks are views, and bounded too', () => {
  const block = Buffer.alloc(10, 1)
  expect(decompress(CODECS.raw, block, Buffer.alloc(10))).toBe(block)
  expect(() => decompress(CODECS.raw, block, Buffer.alloc(9))).toThrow(expect.objectContaining({ code: 'BLOCK_DAMAGED' }))
})

test('zstd at a higher level makes less of a block, which reads back the same', ctx => {
  if (zstdCoders().length === 0) ctx.skip('no zstd: install a C++ compiler, or use Node 22.15 or newer')
  const block = Buffer.from(Array.from({ length: 4000 }, (_, i) => `${(i * 7919) % 10_007} of ${i}\n`).join(''))
  const [fast, small] = [1, 19].map(level => {
    const target = Buffer.alloc(compressBound(block.length))
    return target.subarray(0, openCompressor('zstd', level)!.compressInto(target, block))
  })
  expect(small!.length).toBeLessThan(fast!.length)
  expect(Buffer.compare(decompress(CODECS.zstd, small!, Buffer.alloc(block.length)), block)).toBe(0)
})

test('none compresses nothing', () => {
  expect(openCompressor('none')).toBeUndefined()
})
