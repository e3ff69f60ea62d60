import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { diffBlocks } from './diff.ts'
import { BlockMapError } from './errors.ts'
import { PAGE_BLOCKS } from './geometry.ts'
import { CODECS } from './location.ts'
import { Page } from './page.ts'

const location = { packId: '0123456789abcdef0123456789abcdef', offset: 32, storedLength: 1000, codec: CODECS.zstd }
const hash = new Uint8Array(32).fill(5)

/** Alter a page and make its CRC right again: what a CRC cannot catch must be caught by reading. */
function forge(page: Page, alter: (bytes: Buffer) => void): Buffer {
  const bytes = page.encode()
  alter(bytes)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

function codeOf(bytes: Uint8Array): string {
  try {
    Page.decode(bytes)
    return 'no error'
  } catch (error) {
    return error instanceof BlockMapError ? error.code : String(error)
  }
}

describe('encoding', () => {
  test('a full page takes 44 bytes a block, and a bit', () => {
    const page = Page.empty(0, PAGE_BLOCKS)
    for (let i = 0; i < PAGE_BLOCKS; i++) page.setStored(i, hash, location)
    expect(page.encode().length).toBe(32 + 128 + 16 + 1024 * 44 + 4)
  })

  test('a page with one stored block is small', () => {
    const page = Page.empty(0, PAGE_BLOCKS)
    page.setStored(1023, hash, location)
    expect(page.encode().length).toBe(32 + 128 + 16 + 44 + 4)
  })

  test('packs that nothing refers to any more are not written', () => {
    const page = Page.empty(0, 2)
    page.setStored(0, hash, { ...location, packId: 'f'.repeat(32) })
    page.setStored(0, hash, location)
    expect(page.encode().length).toBe(32 + 1 + 16 + 44 + 4)
  })

  test('more packs than a page can number come and go', () => {
    const page = Page.empty(0, 2)
    page.setStored(1, hash, location)
    for (let i = 0; i < 70_000; i++) page.setStored(0, hash, { ...location, packId: i.toString(16).padStart(32, '0') })
    expect(page.entry(1)!.packId).toBe(location.packId)
    expect(Page.decode(page.encode()).entry(0)!.packId).toBe((69_999).toString(16).padStart(32, '0'))
  })
})

describe('what a valid CRC does not make right', () => {
  const page = Page.empty(3, 10)
  page.setStored(2, hash, location)
  const entryAt = 32 + 2 + 16

  test.each([
    ['a newer version', (bytes: Buffer) => bytes.writeUInt16LE(2, 4), 'MAP_VERSION_UNKNOWN'],
    ['an unknown codec', (bytes: Buffer) => bytes.writeUInt8(9, entryAt + 42), 'MAP_VERSION_UNKNOWN'],
    ['a pack number past the table', (bytes: Buffer) => bytes.writeUInt16LE(1, entryAt + 40), 'MAP_CORRUPT'],
    ['a stored length of nothing', (bytes: Buffer) => bytes.writeUInt32LE(0, entryAt + 36), 'MAP_CORRUPT'],
    ['a presence bit too many', (bytes: Buffer) => bytes.writeUInt8(0xff, 32), 'MAP_CORRUPT'],
    ['a presence bit past the last block', (bytes: Buffer) => bytes.writeUInt16LE(0x8000, 32), 'MAP_CORRUPT'],
    ['no presence bit', (bytes: Buffer) => bytes.writeUInt16LE(0, 32), 'MAP_CORRUPT'],
    ['more blocks than a page holds', (bytes: Buffer) => bytes.writeUInt32LE(1025, 12), 'MAP_CORRUPT'],
    ['a stored count out of bounds', (bytes: Buffer) => bytes.writeUInt32LE(0xffff_ffff, 16), 'MAP_CORRUPT'],
    ['a pack count out of bounds', (bytes: Buffer) => bytes.writeUInt32LE(0xffff_ffff, 20), 'MAP_CORRUPT'],
    ['a reserved field', (bytes: Buffer) => bytes.writeUInt32LE(1, 28), 'MAP_CORRUPT'],
  ])('%s', (_title, alter, code) => {
    expect(codeOf(forge(page, alter))).toBe(code)
  })
})

test('locations and geometry that cannot be are refused when written', () => {
  const page = Page.empty(0, 4)
  expect(() => page.setStored(4, hash, location)).toThrow(BlockMapError)
  expect(() => page.setStored(0, hash.subarray(1), location)).toThrow(BlockMapError)
  expect(() => page.setStored(0, hash, { ...location, packId: 'nonsense' })).toThrow(BlockMapError)
  expect(() => page.setStored(0, hash, { ...location, storedLength: 0 })).toThrow(BlockMapError)
  expect(() => page.setStored(0, hash, { ...location, offset: 2 ** 32 })).toThrow(BlockMapError)
  expect(() => Page.empty(0, 0)).toThrow(BlockMapError)
  expect(() => Page.empty(0, 1025)).toThrow(BlockMapError)
  expect(page.storedBlocks).toBe(0)
})

test('diffBlocks names the blocks whose content differs', () => {
  const a = Page.empty(0, 6)
  const b = Page.empty(0, 6)
  const other = new Uint8Array(32).fill(6)
  a.setStored(0, hash, location)
  b.setStored(0, hash, { ...location, offset: 77 })
  a.setStored(1, hash, location)
  b.setStored(1, other, location)
  a.setStored(2, hash, location)
  b.setStored(3, hash, location)
  expect(diffBlocks(a, b)).toEqual([1, 2, 3])
  expect(diffBlocks(b, a)).toEqual([1, 2, 3])
  const longer = Page.empty(0, 8)
  longer.setStored(7, hash, location)
  expect(diffBlocks(Page.empty(0, 6), longer)).toEqual([7])
})
