import { randomBytes } from 'node:crypto'
import { PageRefs, type Root, replacePages } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import { MemoryBackend } from '@varve/nbd/testing'
import { type CutRange, cutRange, OneRange } from '@varve/range-worker/testing'
import { MemoryStore, openRepository, type Repository } from '@varve/repository'
import { KiB, MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { copyRange } from './copy-range.ts'
import { type ReadTask, readRange } from './read-range.ts'

/** Invariant 7 for read-range: cut off at any step, each read of the disk and each put among them, then done by two workers at once. */

const BLOCK = 64 * KiB
const SIZE = 2 * MiB + 512
/** The attempt of the parent's backup. */
const FULL = 'f'.repeat(24)

interface World {
  readonly range: CutRange<ReadTask>
  readonly repository: Repository
  readonly parent: Root
}

/** An incremental of a disk: blocks 0 and 1 changed, 2 and 3 named though equal, 20 zeroed. */
async function world(disk: MemoryBackend, before: Uint8Array): Promise<World> {
  const store = new MemoryStore()
  const repository = await openRepository(store, { create: true, blockSize: BLOCK })
  const signal = new AbortController().signal
  const geometry = { diskSize: SIZE, blockSize: BLOCK }
  const full = await copyRange(
    { ...geometry, extents: [{ offset: 0, length: SIZE }], parentPages: null, attemptId: FULL },
    { source: asSource(new MemoryBackend(before)), repository, signal },
  )
  const parent: Root = { imageId: 'parent', ...geometry, pages: PageRefs.decode(Buffer.from(full.pages, 'base64')) }
  const extents = [
    { offset: 0, length: 4 * BLOCK },
    { offset: 20 * BLOCK, length: BLOCK },
  ]
  const catalog = new OneRange(
    { ...geometry, extents, bytes: 5 * BLOCK, kind: 'incremental', parentImageId: 'parent' },
    { parent: await repository.putRoot(parent) },
  )
  const lane: CutRange<ReadTask>['lane'] = (task, { disk: source, ...deps }) => copyRange(task, { source, ...deps })
  return { range: { side: 'source', work: readRange, lane, catalog, disk, store }, repository, parent }
}

/** The disk itself, for the copy that comes before everything. */
function asSource(disk: MemoryBackend) {
  const read = async (offset: number, length: number) => {
    const bytes = new Uint8Array(length)
    await disk.read(offset, bytes)
    return [{ offset, length, bytes }]
  }
  return { size: disk.size, blockStatusAvailable: false, read, blockStatus: async () => [] } as never
}

async function restored({ repository, parent, range }: World): Promise<Buffer> {
  const pages = replacePages(parent.pages, PageRefs.decode(Buffer.from((range.catalog.report as RangeResult).pages, 'base64')))
  const disk = Buffer.alloc(SIZE)
  for (const page of await repository.getPages([...pages])) {
    const requests = []
    for (let entry = 0; entry < page.blockCount; entry++) {
      if (!page.isZero(entry)) requests.push({ index: page.pageIndex * 1024 + entry, page, entry })
    }
    for await (const { index, bytes } of repository.readBlocks(requests)) disk.set(bytes!, index * BLOCK)
  }
  return disk
}

test('cut off at any step and done by two at once, the report that won brings back the disk', { timeout: 120_000 }, async () => {
  const before = randomBytes(SIZE)
  const now = new Uint8Array(before)
  now.set(randomBytes(2 * BLOCK), 0)
  now.fill(0, 20 * BLOCK, 21 * BLOCK)
  const cuts: string[] = []
  for (let n = 1; ; n++) {
    const made = await world(new MemoryBackend(now), before)
    const at = await cutRange(made.range, n)
    const { report, notes } = made.range.catalog
    expect({ at, unchanged: report?.unchanged, zero: report?.zero, notes: [...notes] }).toEqual({
      at,
      unchanged: 2 * BLOCK,
      zero: BLOCK,
      notes: [],
    })
    for (const { key, size } of report!.objects) expect((await made.repository.store.get(key)).length, String(at)).toBe(size)
    expect((await restored(made)).equals(now), String(at)).toBe(true)
    // Whatever was written, also by the one that was cut off, is of an attempt that the catalog knows.
    const known = [FULL, ...made.range.catalog.attempts.keys()]
    for await (const { key } of made.repository.store.list('')) {
      if (/^(packs|maps)/.test(key)) expect(known.filter(id => key.split('/')[2]?.startsWith(id))).toHaveLength(1)
    }
    if (at === null) break
    cuts.push(at)
  }
  for (const effect of ['catalog.takeRange', 'platform.diskAddress', 'disk.read', 'store.get', 'store.put', 'catalog.completeRange']) {
    expect(cuts).toEqual(expect.arrayContaining([`before ${effect}`, `after ${effect}`]))
  }
})
