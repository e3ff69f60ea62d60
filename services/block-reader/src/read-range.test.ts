import type { Catalog, RangeResult } from '@varve/catalog-client'
import type { AttemptedRange } from '@varve/range-worker'
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
const catalog = { getImageRoot: async (imageId: string) => ({ rootKey: `root of ${imageId}` }) } as unknown as Catalog

test('the lane gets the attempt, the extents and the root of the parent', async () => {
  const { attemptId, diskSize, blockSize, extents } = range
  expect(await readRange.plan(range, catalog)).toEqual({ attemptId, diskSize, blockSize, extents, parentRootKey: 'root of parent' })
  expect(await readRange.plan({ ...range, parentImageId: null }, catalog)).toMatchObject({ parentRootKey: null })
})

test('each damaged page of the parent is told', () => {
  const damage = [{ offset: 256 * 1024 * 1024, length: 64 * 1024, code: 'MAP_MISSING' }]
  const notes = [...readRange.notes(range, { damage } as unknown as RangeResult)]
  expect(notes).toEqual([
    'Disk virtio0: the block map of the parent is damaged at 256 MiB (MAP_MISSING); 64.0 KiB were read again in whole.',
  ])
  expect([...readRange.notes(range, { damage: [] } as unknown as RangeResult)]).toEqual([])
})
