import { expect, test } from 'vitest'
import { blockCount, blockLength, blocksInPage, checkGeometry, DEFAULT_BLOCK_SIZE, isBlockSize, pageBytes, pageCount } from './geometry.ts'

const BLOCK = 65_536

test.each([
  [0, 0, 0],
  [512, 1, 1],
  [BLOCK, 1, 1],
  [BLOCK + 512, 2, 1],
  [1024 * BLOCK, 1024, 1],
  [1024 * BLOCK + 512, 1025, 2],
])('a disk of %i bytes has %i blocks in %i pages', (size, blocks, pages) => {
  expect(blockCount(size, BLOCK)).toBe(blocks)
  expect(pageCount(size, BLOCK)).toBe(pages)
  let sum = 0
  for (let page = 0; page < pages; page++) sum += blocksInPage(size, BLOCK, page)
  expect(sum).toBe(blocks)
  expect(blocksInPage(size, BLOCK, pages)).toBe(0)
  let bytes = 0
  for (let block = 0; block < blocks; block++) bytes += blockLength(size, BLOCK, block)
  expect(bytes).toBe(size)
  expect(blockLength(size, BLOCK, blocks)).toBe(0)
})

test('63 TiB stay exact', () => {
  const size = 63 * 2 ** 40
  expect(pageBytes(DEFAULT_BLOCK_SIZE)).toBe(256 * 2 ** 20)
  expect(pageCount(size, DEFAULT_BLOCK_SIZE)).toBe(63 * 4096)
  expect(blockLength(size - 512, DEFAULT_BLOCK_SIZE, blockCount(size, DEFAULT_BLOCK_SIZE) - 1)).toBe(DEFAULT_BLOCK_SIZE - 512)
})

test('block sizes are powers of two from 64 KiB to 4 MiB', () => {
  expect([65_536, 262_144, 4_194_304].every(isBlockSize)).toBe(true)
  expect([0, 32_768, 65_537, 8_388_608, 65_536.5, Number.NaN, -65_536].some(isBlockSize)).toBe(false)
  for (const size of [-1, 1.5, Number.NaN, 2 ** 53]) {
    expect(() => checkGeometry(size, BLOCK)).toThrow(expect.objectContaining({ code: 'GEOMETRY_INVALID' }))
  }
})
