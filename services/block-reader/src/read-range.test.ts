import { decodePageRefs, pageBytes } from '@varve/block-map'
import type { Catalog, RangeResult } from '@varve/catalog-client'
import type { AttemptedRange } from '@varve/range-worker'
import { namePages, SIX_PAGES } from '@varve/repository/testing'
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
const PAGE = pageBytes(65_536)
const signal = new AbortController().signal

test('the lane gets the attempt, the extents, and what the root of the parent says of the pages that they touch', async () => {
  const { repository, rootKey } = await namePages('parent', [0, 2, 3, 5])
  const catalog = { getImageRoot: async (imageId: string) => ({ rootKey: `images/${imageId}.root` }) } as unknown as Catalog
  expect(rootKey).toBe('images/parent.root')
  const extents = [
    { offset: PAGE, length: PAGE },
    { offset: 3 * PAGE - 1, length: 2 },
  ]
  const wide = { ...range, ...SIX_PAGES, extents }
  const { parentPages, ...task } = await readRange.plan(wide, { catalog, repository, signal })
  expect(task).toEqual({ attemptId: range.attemptId, ...SIX_PAGES, extents })
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
