import { randomBytes } from 'node:crypto'
import { CODECS, type Codec } from '@varve/block-map'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { compressBound, decompress, openCompressor } from './codec.ts'
import { RepositoryError } from './errors.ts'
import { blockOf } from './testing/blocks.ts'

const BLOCK = 65_536

describe.each(['zstd', 'lz4'] as const)('%s', name => {
  const opened = openCompressor(name)
  const compressor = opened!
  beforeEach(ctx => {
    if (opened?.codec !== CODECS[name]) ctx.skip(`${name} is not available here`)
  })

  function compress(block: Uint8Array): Buffer {
    const target = Buffer.alloc(compressBound(block.length))
    return target.subarray(0, compressor.compressInto(target, block))
  }

  test('gives back blocks of every sort, within its bound', () => {
    expect(compressor.codec).toBe(CODECS[name])
    for (const block of [
      blockOf(BLOCK, 1, 'text'),
      randomBytes(BLOCK),
      Buffer.alloc(BLOCK),
      Buffer.from('x'),
      randomBytes(4 * 1024 * 1024),
    ]) {
      expect(Buffer.compare(decompress(compressor.codec, compress(block), block.length), block)).toBe(0)
    }
  })

  test('compresses what can be compressed', () => {
    expect(compress(blockOf(BLOCK, 1, 'text')).length).toBeLessThan(BLOCK / 4)
  })

  test('refuses a block that would be longer than allowed, before taking the memory', () => {
    const bomb = compress(Buffer.alloc(4 * 1024 * 1024))
    expect(bomb.length).toBeLessThan(20_000)
    expect(() => decompress(compressor.codec, bomb, BLOCK)).toThrow(expect.objectContaining({ code: 'BLOCK_DAMAGED' }))
    const lies = Buffer.alloc(100, 0xff)
    expect(() => decompress(compressor.codec, lies, BLOCK)).toThrow(expect.objectContaining({ code: 'BLOCK_DAMAGED' }))
  })

  test('never does worse than BLOCK_DAMAGED with cut and altered bytes', () => {
    const block = blockOf(BLOCK, 7, 'text')
    const stored = compress(block)
    fc.assert(
      fc.property(fc.nat(stored.length - 1), fc.nat(255), fc.boolean(), (at, mask, cut) => {
        const altered = Buffer.from(cut ? stored.subarray(0, at) : stored)
        if (!cut) altered[at]! ^= mask
        expectDecompressedOrDamaged(compressor.codec, altered)
      }),
    )
  })
})

test('raw blocks are views, and bounded too', () => {
  const block = Buffer.alloc(10, 1)
  expect(decompress(CODECS.raw, block, 10)).toBe(block)
  expect(() => decompress(CODECS.raw, block, 9)).toThrow(expect.objectContaining({ code: 'BLOCK_DAMAGED' }))
})

test('none compresses nothing', () => {
  expect(openCompressor('none')).toBeUndefined()
})

function expectDecompressedOrDamaged(codec: Codec, stored: Uint8Array): void {
  try {
    expect(decompress(codec, stored, BLOCK).length).toBeLessThanOrEqual(BLOCK)
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error
    expect(error.code).toBe('BLOCK_DAMAGED')
  }
}
