import { decodePageRefs, pageBytes } from '@varve/block-map'
import type { Catalog, RangeResult } from '@varve/catalog-client'
import type { Extent } from '@varve/cbt'
import type { AttemptedRange } from '@varve/range-worker'
import type { Repository } from '@varve/repository'
import { namePages, SIX_PAGES } from '@varve/repository/testing'
import { beforeAll, expect, test } from 'vitest'
import { writeRange } from './write-range.ts'

const range = {
  id: 'range',
  diskId: 'virtio0',
  diskSize: 1024,
  blockSize: 65_536,
  firstPage: 3,
  pageCount: 2,
  extents: [],
  sourceImageId: 'source',
  onDamage: 'continue',
} as unknown as AttemptedRange
const catalog = { getImageRoot: async (imageId: string) => ({ rootKey: `images/${imageId}.root` }) } as unknown as Catalog

const signal = new AbortController().signal
const PAGE = pageBytes(65_536)
let repository: Repository
beforeAll(async () => {
  repository = (await namePages('source', [0, 3, 4, 5])).repository
})

test('the lane gets the pages, and what the root of the image says of them', async () => {
  const wide = { ...range, ...SIX_PAGES }
  const pagesOf = async (extents: readonly Extent[]): Promise<number[]> => {
    const { sourcePages, ...task } = await writeRange.plan({ ...wide, extents }, { catalog, repository, signal })
    expect(task).toEqual({ ...SIX_PAGES, firstPage: 3, pageCount: 2, extents, onDamage: 'continue' })
    return decodePageRefs(sourcePages).map(({ pageIndex }) => pageIndex)
  }
  expect(await pagesOf([])).toEqual([3, 4])
  expect(await pagesOf([{ offset: 5 * PAGE - 512, length: 512 }])).toEqual([4])
  await expect(writeRange.plan(range, { catalog, repository, signal })).rejects.toMatchObject({ code: 'SOURCE_IMAGE_DIFFERS' })
})

test('a range without an image is a fault', async () => {
  await expect(writeRange.plan({ ...range, sourceImageId: null }, { catalog, repository, signal })).rejects.toMatchObject({
    code: 'SOURCE_IMAGE_MISSING',
  })
})

test('damage is told in one note, its first places by name', () => {
  const damage = [0, 1, 2, 3].map(i => ({ offset: i * 1000, length: 10, code: 'BLOCK_DAMAGED' }))
  expect([...writeRange.notes(range, { damage } as unknown as RangeResult)]).toEqual([
    'Disk virtio0: 40 bytes could not be restored: 10 at 0 (BLOCK_DAMAGED), 10 at 1000 (BLOCK_DAMAGED), 10 at 2000 (BLOCK_DAMAGED), ….',
  ])
  expect([...writeRange.notes(range, { damage: [] } as unknown as RangeResult)]).toEqual([])
})
