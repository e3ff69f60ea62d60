import { randomBytes } from 'node:crypto'
import { blocksInPage, Page, PageRefs, pageCount } from '@varve/block-map'
import { MemoryBackend } from '@varve/nbd/testing'
import { type CutRange, cutRange, OneRange } from '@varve/range-worker/testing'
import { formatHash, isZero, MemoryStore, openRepository } from '@varve/repository'
import { randomObjectIds } from '@varve/repository/testing'
import { KiB, MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { restoreRange } from './restore-range.ts'
import { type RestoreTask, writeRange } from './write-range.ts'

/** Invariant 7 for write-range: cut off at any step, each get and each write among them, then done by two workers at once. */

const BLOCK = 64 * KiB
const SIZE = 2 * MiB + 512

async function world(image: Uint8Array, target: MemoryBackend, differential: boolean): Promise<CutRange<RestoreTask>> {
  const store = new MemoryStore()
  const repository = await openRepository(store, { create: true, blockSize: BLOCK })
  const newId = randomObjectIds()
  const packs = repository.packWriter(newId)
  const pages: Page[] = []
  for (let index = 0; index < pageCount(SIZE, BLOCK); index++) {
    const page = Page.empty(index, blocksInPage(SIZE, BLOCK, index))
    for (let entry = 0; entry < page.blockCount; entry++) {
      const bytes = image.subarray(entry * BLOCK, (entry + 1) * BLOCK)
      const hash = formatHash(bytes)
      if (!isZero(bytes)) page.setStored(entry, hash, await packs.add(hash, bytes))
    }
    pages.push(page)
  }
  await packs.finish()
  const { refs } = await repository.putMap(newId, pages)
  const geometry = { diskSize: SIZE, blockSize: BLOCK }
  const root = await repository.putRoot({ imageId: 'source', ...geometry, pages: PageRefs.from(refs) })
  const extents = differential ? [{ offset: 0, length: 4 * BLOCK }] : [{ offset: 0, length: SIZE }]
  const catalog = new OneRange({ ...geometry, extents, sourceImageId: 'source' }, { source: root })
  const lane: CutRange<RestoreTask>['lane'] = (task, { disk, ...deps }) => restoreRange(task, { target: disk, ...deps })
  return { side: 'target', work: writeRange, lane, catalog, disk: target, store }
}

test.each([false, true])(
  'cut off at any step and done by two at once, the disk is that of the point (differential: %s)',
  {
    timeout: 120_000,
  },
  async differential => {
    const image = randomBytes(SIZE)
    image.fill(0, 2 * BLOCK, 4 * BLOCK)
    const cuts: string[] = []
    for (let n = 1; ; n++) {
      const before = new Uint8Array(image)
      before.set(randomBytes(4 * BLOCK), 0)
      if (!differential) before.set(randomBytes(BLOCK), 20 * BLOCK)
      const target = new MemoryBackend(before)
      const made = await world(image, target, differential)
      const at = await cutRange(made, n)
      expect(image.equals(target.bytes), String(at)).toBe(true)
      expect({ at, report: made.catalog.report }).toMatchObject({ at, report: { zero: 2 * BLOCK, damage: [] } })
      if (at === null) break
      cuts.push(at)
    }
    for (const effect of ['catalog.takeRange', 'platform.diskAddress', 'store.get', 'disk.write', 'disk.writeZeroes', 'disk.flush']) {
      expect(cuts).toEqual(expect.arrayContaining([`before ${effect}`, `after ${effect}`]))
    }
  },
)
