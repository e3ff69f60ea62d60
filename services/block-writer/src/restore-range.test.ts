import { randomBytes } from 'node:crypto'
import { blocksInPage, Page, PageRefs, pageBytes, pageCount, type Root } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import type { Extent } from '@varve/cbt'
import { connectNbd, type NbdClient, type NbdServer, requestFailed, startNbdServer } from '@varve/nbd'
import { MemoryBackend } from '@varve/nbd/testing'
import { formatHash, isZero, MemoryStore, openRepository, type Repository } from '@varve/repository'
import { randomObjectIds } from '@varve/repository/testing'
import { KiB, MiB } from '@varve/runtime'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sourcePagesOf } from './image-pages.ts'
import { restoreRange, type WriteTask } from './index.ts'

const BLOCK = 64 * KiB
const PAGE = pageBytes(BLOCK)

/** A disk that remembers which bytes were written, and which were zeroed. */
class WatchedDisk extends MemoryBackend {
  readonly writes: Extent[] = []
  readonly zeroed: Extent[] = []

  override async write(offset: number, bytes: Uint8Array, fua: boolean): Promise<void> {
    this.writes.push({ offset, length: bytes.length })
    await super.write(offset, bytes, fua)
  }

  override async writeZeroes(offset: number, length: number, fua: boolean, mayTrim: boolean): Promise<void> {
    this.zeroed.push({ offset, length })
    await super.writeZeroes(offset, length, fua, mayTrim)
  }
}

let store: MemoryStore
let repository: Repository
let server: NbdServer | undefined
let target: NbdClient | undefined

beforeEach(async () => {
  store = new MemoryStore()
  repository = await openRepository(store, { create: true, blockSize: BLOCK })
})

afterEach(async () => {
  await target?.close()
  await server?.close()
})

/** Put a disk into the repository. */
async function backUp(disk: Uint8Array): Promise<string> {
  const ids = randomObjectIds()
  const packs = repository.packWriter(ids)
  const pages: Page[] = []
  for (let index = 0; index < pageCount(disk.length, BLOCK); index++) {
    const page = Page.empty(index, blocksInPage(disk.length, BLOCK, index))
    for (let entry = 0; entry < page.blockCount; entry++) {
      const offset = index * PAGE + entry * BLOCK
      const bytes = disk.subarray(offset, offset + BLOCK)
      const hash = formatHash(bytes)
      if (!isZero(bytes)) page.setStored(entry, hash, await packs.add(hash, bytes))
    }
    pages.push(page)
  }
  await packs.finish()
  const { refs } = await repository.putMap(ids, pages)
  const root: Root = {
    imageId: 'image',
    diskSize: disk.length,
    blockSize: BLOCK,
    pages: PageRefs.from(refs.filter(ref => ref.storedBlocks > 0)),
  }
  return repository.putRoot(root)
}

async function restore(disk: MemoryBackend, size: number, sourceRootKey: string, task: Partial<WriteTask> = {}): Promise<RangeResult> {
  server = await startNbdServer({ listen: { host: '127.0.0.1', port: 0 }, exports: { open: async () => disk } })
  target = await connectNbd({ ...(server.address as { host: string; port: number }), exportName: 'disk' })
  const whole = {
    diskSize: size,
    blockSize: BLOCK,
    firstPage: 0,
    pageCount: pageCount(size, BLOCK),
    extents: [],
    onDamage: 'fail',
  } as const
  const { signal } = new AbortController()
  const wanted = { ...whole, ...task }
  const sourcePages = await sourcePagesOf(wanted, sourceRootKey, repository, signal)
  return restoreRange({ ...wanted, sourcePages }, { target, repository, signal })
}

const total = (extents: readonly Extent[]): number => extents.reduce((sum, { length }) => sum + length, 0)

/** Blocks 0-9 random, 30 random, a short last block; all else zero. */
function imageDisk(size: number): Buffer {
  const disk = Buffer.alloc(size)
  disk.set(randomBytes(10 * BLOCK), 0)
  disk.set(randomBytes(BLOCK), 30 * BLOCK)
  disk.set(randomBytes(512), size - 512)
  return disk
}

describe('onto an empty disk', () => {
  test('only blocks that are not zero are written, joined, and flushed', async () => {
    const image = imageDisk(4 * MiB + 512)
    const disk = new WatchedDisk(image.length)
    const result = await restore(disk, image.length, await backUp(image))
    expect(image.equals(disk.bytes)).toBe(true)
    expect(disk.zeroed).toEqual([])
    expect(disk.writes.toSorted((a, b) => a.offset - b.offset)).toEqual([
      { offset: 0, length: 10 * BLOCK },
      { offset: 30 * BLOCK, length: BLOCK },
      { offset: 4 * MiB, length: 512 },
    ])
    expect(disk.calls.flush).toBe(1)
    expect(result).toMatchObject({ written: 11 * BLOCK + 512, zero: 0, unchanged: 0, objects: [], pages: '', damage: [] })
    expect(result.read).toBeGreaterThan(11 * BLOCK)
  })

  test('a range writes its pages and no others', async () => {
    const image = Buffer.alloc(2 * PAGE + 1 * MiB)
    for (const offset of [0, PAGE - BLOCK, PAGE, 2 * PAGE - BLOCK, 2 * PAGE]) image.set(randomBytes(BLOCK), offset)
    const disk = new WatchedDisk(image.length)
    await restore(disk, image.length, await backUp(image), { firstPage: 1, pageCount: 1 })
    expect(disk.writes.map(({ offset }) => offset).toSorted((a, b) => a - b)).toEqual([PAGE, 2 * PAGE - BLOCK])
  })

  test('a larger target keeps what lies behind', async () => {
    const image = imageDisk(4 * MiB)
    const disk = new MemoryBackend(8 * MiB)
    await restore(disk, image.length, await backUp(image))
    expect(image.equals(disk.bytes.subarray(0, image.length))).toBe(true)
  })
})

describe('onto a disk that holds something', () => {
  test('every byte of the extents becomes that of the image, zeros too', async () => {
    const image = imageDisk(4 * MiB + 512)
    const disk = new WatchedDisk(randomBytes(image.length))
    const result = await restore(disk, image.length, await backUp(image), { extents: [{ offset: 0, length: image.length }] })
    expect(image.equals(disk.bytes)).toBe(true)
    expect(total(disk.writes)).toBe(11 * BLOCK + 512)
    expect(total(disk.zeroed)).toBe(image.length - 11 * BLOCK - 512)
    expect(result).toMatchObject({ written: total(disk.writes), zero: total(disk.zeroed) })
  })

  test('a differential writes exactly the named bytes', async () => {
    const image = imageDisk(4 * MiB + 512)
    const key = await backUp(image)
    const extents = [
      { offset: 1 * BLOCK + 4096, length: 8192 }, // inside a stored block
      { offset: 9 * BLOCK + 512, length: 2 * BLOCK }, // from stored into zero
      { offset: 30 * BLOCK, length: BLOCK },
      { offset: 40 * BLOCK, length: 512 }, // inside a zero block
    ]
    const before = Buffer.from(image)
    for (const { offset, length } of extents) before.set(randomBytes(length), offset)
    const disk = new WatchedDisk(Uint8Array.from(before))
    const result = await restore(disk, image.length, key, { extents })
    expect(image.equals(disk.bytes)).toBe(true)
    expect(total(disk.writes) + total(disk.zeroed)).toBe(total(extents))
    expect(result).toMatchObject({ written: total(disk.writes), zero: total(disk.zeroed) })
  })

  test('a server of larger blocks gets aligned writes with the bytes of the image around', async () => {
    const image = imageDisk(4 * MiB)
    const disk = new WatchedDisk(Uint8Array.from(image), { blockSize: { minimum: 4096, preferred: 65_536 } })
    disk.bytes.fill(7, 2 * BLOCK + 5000, 2 * BLOCK + 6000)
    await restore(disk, image.length, await backUp(image), { extents: [{ offset: 2 * BLOCK + 5000, length: 1000 }] })
    expect(image.equals(disk.bytes)).toBe(true)
    expect(disk.writes).toEqual([{ offset: 2 * BLOCK + 4096, length: 4096 }])
  })
})

describe('damage', () => {
  /** Flip a bit in the bytes of the second stored block. */
  function damagePack(): void {
    const [, pack] = [...store.objects].find(([key]) => key.startsWith('packs/'))!
    pack[BLOCK + 1000]! ^= 1
  }

  test('fails the range with the place', async () => {
    const image = imageDisk(4 * MiB)
    const key = await backUp(image)
    damagePack()
    await expect(restore(new MemoryBackend(image.length), image.length, key)).rejects.toMatchObject({
      code: 'BLOCK_DAMAGED',
      context: { offset: BLOCK, length: BLOCK },
    })
  })

  test('is left out and reported where the caller chose to go on', async () => {
    const image = imageDisk(4 * MiB)
    const key = await backUp(image)
    damagePack()
    const disk = new MemoryBackend(image.length)
    const result = await restore(disk, image.length, key, { onDamage: 'continue' })
    expect(result.damage).toEqual([{ offset: BLOCK, length: BLOCK, code: 'BLOCK_DAMAGED' }])
    image.fill(0, BLOCK, 2 * BLOCK)
    expect(image.equals(disk.bytes)).toBe(true)
  })

  test('a missing pack damages all its blocks, joined to places', async () => {
    const image = imageDisk(4 * MiB)
    const key = await backUp(image)
    for (const name of store.objects.keys()) if (name.startsWith('packs/')) store.objects.delete(name)
    const result = await restore(new MemoryBackend(image.length), image.length, key, { onDamage: 'continue' })
    expect(result.damage).toEqual([
      { offset: 0, length: 10 * BLOCK, code: 'BLOCK_DAMAGED' },
      { offset: 30 * BLOCK, length: BLOCK, code: 'BLOCK_DAMAGED' },
      { offset: 63 * BLOCK, length: BLOCK, code: 'BLOCK_DAMAGED' },
    ])
    expect(result.written).toBe(0)
  })

  test('a missing map is the damage of its pages, clipped to what was wanted', async () => {
    const image = imageDisk(4 * MiB)
    const key = await backUp(image)
    for (const name of store.objects.keys()) if (name.startsWith('maps/')) store.objects.delete(name)
    await expect(restore(new MemoryBackend(image.length), image.length, key)).rejects.toMatchObject({ code: 'MAP_MISSING' })
    await target?.close()
    await server?.close()
    const extents = [{ offset: 100, length: 50 }]
    const result = await restore(new MemoryBackend(image.length), image.length, key, { onDamage: 'continue', extents })
    expect(result).toMatchObject({ written: 0, zero: 0, damage: [{ offset: 100, length: 50, code: 'MAP_MISSING' }] })
  })
})

test('a write error stops the range with its code', async () => {
  const image = imageDisk(4 * MiB)
  const disk = new MemoryBackend(image.length)
  disk.failures.set('write', requestFailed('ENOSPC', 'the datastore is full'))
  await expect(restore(disk, image.length, await backUp(image))).rejects.toMatchObject({
    code: 'NBD_REQUEST_FAILED',
    context: { errno: 'ENOSPC' },
  })
})

test('a target that is too small is refused', async () => {
  const image = imageDisk(4 * MiB)
  await expect(restore(new MemoryBackend(1 * MiB), image.length, await backUp(image))).rejects.toMatchObject({
    code: 'TARGET_SIZE_DIFFERS',
  })
})
