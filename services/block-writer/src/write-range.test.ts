import type { Catalog, RangeResult } from '@varve/catalog-client'
import type { AttemptedRange } from '@varve/range-worker'
import { expect, test } from 'vitest'
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
const catalog = { getImageRoot: async (imageId: string) => ({ rootKey: `root of ${imageId}` }) } as unknown as Catalog

test('the lane gets the pages and the image', async () => {
  expect(await writeRange.plan(range, catalog)).toEqual({
    diskSize: 1024,
    blockSize: 65_536,
    firstPage: 3,
    pageCount: 2,
    extents: [],
    onDamage: 'continue',
    sourceRootKey: 'root of source',
  })
})

test('a range without an image is a fault', async () => {
  await expect(writeRange.plan({ ...range, sourceImageId: null }, catalog)).rejects.toMatchObject({ code: 'SOURCE_IMAGE_MISSING' })
})

test('damage is told in one note, its first places by name', () => {
  const damage = [0, 1, 2, 3].map(i => ({ offset: i * 1000, length: 10, code: 'BLOCK_DAMAGED' }))
  expect([...writeRange.notes(range, { damage } as unknown as RangeResult)]).toEqual([
    'Disk virtio0: 40 bytes could not be restored: 10 at 0 (BLOCK_DAMAGED), 10 at 1000 (BLOCK_DAMAGED), 10 at 2000 (BLOCK_DAMAGED), ….',
  ])
  expect([...writeRange.notes(range, { damage: [] } as unknown as RangeResult)]).toEqual([])
})
