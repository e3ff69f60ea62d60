import { type PageRef, PageRefs } from '@varve/block-map'
import { expect, test } from 'vitest'
import { type DamagedRange, mergeDamage, type Piece, pieceExtent } from './piece.ts'
import { PieceFeed } from './piece-feed.ts'
import { dataRuns } from './sparse-file.ts'

const KiB = 1024
const BLOCK = 256 * KiB

function ref(pageIndex: number): PageRef {
  return { pageIndex, mapId: 'a'.repeat(32), offset: 0, length: 1, hash: Buffer.alloc(32), storedBlocks: 1 }
}

function dealOut(pages: readonly number[], diskSize: number, lanes: readonly string[]): Map<string, Piece[]> {
  const feed = new PieceFeed(PageRefs.from(pages.map(ref)), { diskSize, blockSize: BLOCK })
  const got = new Map(lanes.map(lane => [lane, [] as Piece[]]))
  for (let busy = true; busy; ) {
    busy = false
    for (const lane of lanes) {
      const piece = feed.next(lane)
      if (piece === undefined) continue
      busy = true
      got.get(lane)?.push(piece)
    }
  }
  return got
}

test.each([
  [1, ['one']],
  [3, ['one', 'two']],
  [2, ['one', 'two', 'three', 'four', 'five']],
] as const)('%i pages are dealt out once and whole to lanes %j, and end with the disk', (pages, lanes) => {
  const diskSize = pages * 1024 * BLOCK - 5 * BLOCK - 512
  const geometry = { diskSize, blockSize: BLOCK }
  const all = Array.from({ length: pages }, (_, page) => page)
  const pieces = [...dealOut(all, diskSize, lanes).values()].flat()
  const extents = pieces.map(piece => pieceExtent(piece, geometry)).sort((a, b) => a.offset - b.offset)
  let at = 0
  for (const { offset, length } of extents) {
    expect(offset).toBe(at)
    at += length
  }
  expect(at).toBe(diskSize)
})

test('a lane finishes its own page before it begins or takes from another', () => {
  const got = dealOut([0, 7], 8 * 1024 * BLOCK, ['one', 'two'])
  expect(got.get('one')?.map(({ ref: { pageIndex } }) => pageIndex)).toEqual([0, 0, 0, 0])
  expect(got.get('two')?.map(({ ref: { pageIndex } }) => pageIndex)).toEqual([7, 7, 7, 7])
})

test('damage of neighbours with the same code is one range', () => {
  const at = (offset: number, code = 'BLOCK_DAMAGED'): DamagedRange => ({ offset, length: 10, code, message: `at ${offset}` })
  expect(mergeDamage([at(30), at(0), at(10), at(20, 'MAP_MISSING'), at(50)])).toEqual([
    { ...at(0), length: 20 },
    at(20, 'MAP_MISSING'),
    at(30),
    at(50),
  ])
  expect(mergeDamage([])).toEqual([])
})

test('only grains that hold something are written', () => {
  const bytes = Buffer.alloc(256 * KiB + 100)
  expect(dataRuns(bytes)).toEqual([])
  bytes[64 * KiB] = 1
  bytes[192 * KiB - 1] = 1
  bytes[256 * KiB + 99] = 1
  expect(dataRuns(bytes)).toEqual([
    [64 * KiB, 192 * KiB],
    [256 * KiB, 256 * KiB + 100],
  ])
})
