import { decodePageRefs, PageRefs } from '@varve/block-map'
import type { Catalog, RangeResult } from '@varve/catalog-client'
import type { AttemptedRange } from '@varve/range-worker'
import { MemoryStore, openRepository } from '@varve/repository'
import { expect, test } from 'vitest'
import { readRange } from './read-range.ts'

const range = {
  id: 'range',
  attemptId: 'attempt',
  diskId: 'virtio0',
  diskSize: 1024,
  blockSize: 65_536,
  extents: [{ offset: 0, length: 512 }],
  parentImageId: 'parent',
} as unknown as AttemptedRange
const pageBytes = 1024 * 65_536
const signal = new AbortController().signal

test('the lane gets the attempt, the extents, and what the root of the parent says of the pages that they touch', async () => {
  const repository = await openRepository(new MemoryStore(), { create: true, blockSize: 65_536 })
  const pages = [0, 2, 3, 5].map(pageIndex => ({
    pageIndex,
    mapId: 'a'.repeat(32),
    offset: 32,
    length: 100,
    hash: Buffer.alloc(32),
    storedBlocks: 1,
  }))
  const geometry = { diskSize: 6 * pageBytes, blockSize: 65_536 }
  const rootKey = await repository.putRoot({ imageId: 'parent', ...geometry, pages: PageRefs.from(pages) })
  const catalog = { getImageRoot: async (imageId: string) => ({ rootKey: `images/${imageId}.root` }) } as unknown as Catalog
  expect(rootKey).toBe('images/parent.root')
  const extents = [
    { offset: pageBytes, length: pageBytes },
    { offset: 3 * pageBytes - 1, length: 2 },
  ]
  const wide = { ...range, ...geometry, extents }
  const { parentPages, ...task } = await readRange.plan(wide, { catalog, repository, signal })
  expect(task).toEqual({ attemptId: range.attemptId, ...geometry, extents })
  expect(decodePageRefs(parentPages!).map(({ pageIndex }) => pageIndex)).toEqual([2, 3])
  expect(await readRange.plan({ ...range, parentImageId: null }, { catalog, repository, signal })).toMatchObject({ parentPages: null })
  await expect(readRange.plan(range, { catalog, repository, signal })).rejects.toMatchObject({ code: 'PARENT_DIFFERS' })
})

test('each damaged page of the parent is told', () => {
  const damage = [{ offset: 256 * 1024 * 1024, length: 64 * 1024, code: 'MAP_MISSING' }]
  const notes = [...readRange.notes(range, { damage } as unknown as RangeResult)]
  expect(notes).toEqual([
    'Disk virtio0: the block map of the parent is damaged at 256 MiB (MAP_MISSING); 64.0 KiB were read again in whole.',
  ])
  expect([...readRange.notes(range, { damage: [] } as unknown as RangeResult)]).toEqual([])
})
