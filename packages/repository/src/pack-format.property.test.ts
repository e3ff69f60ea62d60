import { crc32 } from 'node:zlib'
import { CODECS } from '@varve/block-map'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RepositoryError } from './errors.ts'
import {
  decodePack,
  finishPack,
  PACK_FOOTER_ENTRY,
  PACK_HEADER_LENGTH,
  PACK_TRAILER_LENGTH,
  writeFooterEntry,
  writePackHeader,
} from './pack-format.ts'

const PACK_ID = '00112233445566778899aabbccddeeff'
const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 5 }), { maxLength: 4 })

function packOf(parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const pack = Buffer.alloc(PACK_HEADER_LENGTH + length + parts.length * PACK_FOOTER_ENTRY + PACK_TRAILER_LENGTH, 0xee)
  const footer = Buffer.alloc(parts.length * PACK_FOOTER_ENTRY)
  writePackHeader(pack, PACK_ID)
  let offset = PACK_HEADER_LENGTH
  for (const [i, part] of parts.entries()) {
    pack.set(part, offset)
    writeFooterEntry(footer, i * PACK_FOOTER_ENTRY, blockOf(part, offset))
    offset += part.length
  }
  expect(finishPack(pack, offset, footer)).toBe(pack.length)
  return pack
}

function blockOf(part: Uint8Array, offset: number) {
  return { hash: Buffer.alloc(32, part[0]), offset, storedLength: part.length, rawLength: part.length * 2, codec: CODECS.zstd }
}

test('a pack tells what is in it', () => {
  fc.assert(
    fc.property(frames, parts => {
      const pack = packOf(parts)
      let offset = PACK_HEADER_LENGTH
      const blocks = parts.map(part => {
        const block = blockOf(part, offset)
        offset += part.length
        return block
      })
      expect(decodePack(pack)).toEqual({ packId: PACK_ID, blocks })
    }),
  )
})

test('a pack that is cut, or altered anywhere but in its frames, is refused', () => {
  const parts = [Uint8Array.of(1, 2, 3), Uint8Array.of(4)]
  const pack = packOf(parts)
  for (let length = 0; length < pack.length; length++) expect(() => decodePack(pack.subarray(0, length))).toThrow(RepositoryError)
  for (let at = 0; at < pack.length; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const altered = Buffer.from(pack)
      altered[at]! ^= mask
      const isFrame = at >= PACK_HEADER_LENGTH && at < PACK_HEADER_LENGTH + 4
      if (isFrame) expect(decodePack(altered).blocks.length).toBe(2)
      else expect(() => decodePack(altered)).toThrow(RepositoryError)
    }
  }
})

test('a footer that lies is refused though its CRC is right', () => {
  const pack = packOf([Uint8Array.of(1, 2, 3), Uint8Array.of(4)])
  const footer = PACK_HEADER_LENGTH + 4
  fc.assert(
    fc.property(fc.integer({ min: footer, max: pack.length - 5 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const altered = Buffer.from(pack)
      altered[at]! ^= mask
      const sum = crc32(altered.subarray(footer, -4), crc32(altered.subarray(0, PACK_HEADER_LENGTH)))
      altered.writeUInt32LE(sum, altered.length - 4)
      try {
        for (const block of decodePack(altered).blocks) {
          expect(block.offset).toBeGreaterThanOrEqual(PACK_HEADER_LENGTH)
          expect(block.offset + block.storedLength).toBeLessThanOrEqual(footer)
        }
      } catch (error) {
        if (!(error instanceof RepositoryError)) throw error
      }
    }),
  )
})

test('any bytes at all are a pack or a RepositoryError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      expect(() => decodePack(bytes)).toThrow(RepositoryError)
    }),
  )
})
