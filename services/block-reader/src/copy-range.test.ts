import { randomBytes } from 'node:crypto'
import { decodePageRefs, merkleRoot, PageRefs, type Root, replacePages } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import type { Extent } from '@varve/cbt'
import { connectNbd, type NbdBackend, type NbdClient, type NbdServer, requestFailed, startNbdServer } from '@varve/nbd'
import { MemoryBackend } from '@varve/nbd/testing'
import { formatHash, MemoryStore, openRepository, type Repository } from '@varve/repository'
import { KiB, MiB } from '@varve/runtime'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { copyRange } from './index.ts'
import { parentPagesOf } from './range-pages.ts'

const BLOCK = 64 * KiB
const GRANULE = 64 * KiB
const signal = new AbortController().signal
const newAttempt = (): string => randomBytes(12).toString('hex')

/** A disk that remembers which bytes were read, or fails from some offset on. */
class WatchedDisk extends MemoryBackend {
  readonly reads: Extent[] = []
  failFrom = Number.POSITIVE_INFINITY

  override async read(offset: number, target: Uint8Array): Promise<void> {
    this.reads.push({ offset, length: target.length })
    if (offset + target.length > this.failFrom) throw requestFailed('EIO', 'a bad sector')
    await super.read(offset, target)
  }
}

let store: MemoryStore
let repository: Repository
let server: NbdServer | undefined
let source: NbdClient | undefined

beforeEach(async () => {
  store = new MemoryStore()
  repository = await openRepository(store, { create: true, blockSize: BLOCK })
})

afterEach(async () => {
  await source?.close()
  await server?.close()
  source = undefined
  server = undefined
})

async function serve(backend: NbdBackend): Promise<NbdClient> {
  await source?.close()
  await server?.close()
  server = await startNbdServer({ listen: { host: '127.0.0.1', port: 0 }, exports: { open: async () => backend } })
  source = await connectNbd({ ...(server.address as { host: string; port: number }), exportName: 'disk' })
  return source
}

async function copy(backend: NbdBackend, extents: readonly Extent[], parentRootKey: string | null = null): Promise<RangeResult> {
  const client = await serve(backend)
  const geometry = { diskSize: backend.size, blockSize: BLOCK }
  const parentPages = parentRootKey === null ? null : await parentPagesOf(extents, geometry, parentRootKey, repository, signal)
  return copyRange({ extents, ...geometry, parentPages, attemptId: newAttempt() }, { source: client, repository, signal })
}

/** What sealing does with a result. */
async function seal(imageId: string, diskSize: number, result: RangeResult, parent?: Root): Promise<{ root: Root; key: string }> {
  const pages = replacePages(parent?.pages ?? PageRefs.none, PageRefs.decode(Buffer.from(result.pages, 'base64')))
  const root: Root = { imageId, diskSize, blockSize: BLOCK, pages }
  return { root, key: await repository.putRoot(root) }
}

/** The whole disk out of the repository. */
async function restored(root: Root): Promise<Buffer> {
  const disk = Buffer.alloc(root.diskSize)
  for (const page of await repository.getPages([...root.pages])) {
    const requests = []
    for (let entry = 0; entry < page.blockCount; entry++) {
      if (!page.isZero(entry)) requests.push({ index: page.pageIndex * 1024 + entry, page, entry })
    }
    for await (const { index, bytes } of repository.readBlocks(requests)) disk.set(bytes!, index * BLOCK)
  }
  return disk
}

const whole = (size: number): Extent[] => [{ offset: 0, length: size }]

describe('a full', () => {
  test('brings every byte into the repository, also a short last block, and stores no zeros', async () => {
    const disk = new WatchedDisk(2 * MiB + 512)
    await disk.write(0, randomBytes(200 * KiB), false)
    await disk.write(1 * MiB, Buffer.alloc(300 * KiB, 'text '), false)
    await disk.write(2 * MiB, randomBytes(512), false)
    const result = await copy(disk, whole(disk.size))
    const { root } = await seal('full', disk.size, result)
    expect((await restored(root)).equals(disk.bytes)).toBe(true)
    expect(result).toMatchObject({ unchanged: 0, damage: [] })
    expect(result.zero).toBe(disk.size - 512 - 4 * BLOCK - 5 * BLOCK)
    expect(result.objects.map(object => object.kind).toSorted()).toEqual(['map', 'pack'])
    expect(result.objects.every(({ key, size }) => store.objects.get(key)?.length === size)).toBe(true)
    expect(result.written).toBe(result.objects.reduce((sum, object) => sum + object.size, 0))
  })

  test('of an empty disk stores nothing at all', async () => {
    const result = await copy(new MemoryBackend(4 * MiB), whole(4 * MiB))
    expect(result).toMatchObject({ read: 0, written: 0, zero: 4 * MiB, objects: [] })
    const { root } = await seal('empty', 4 * MiB, result)
    expect(root.pages.length).toBe(0)
  })

  test('written zeros are read, found to be zero and not stored', async () => {
    const result = await copy(new MemoryBackend(new Uint8Array(1 * MiB)), whole(1 * MiB))
    expect(result).toMatchObject({ read: 1 * MiB, written: 0, zero: 1 * MiB, objects: [] })
  })

  test('of a large sparse disk asks for its holes and reads only what is there', async () => {
    const disk = new WatchedDisk(256 * MiB, { granule: 64 * KiB })
    await disk.write(100 * MiB + 32 * KiB, randomBytes(128 * KiB), false)
    await disk.write(256 * MiB - 4 * KiB, randomBytes(4 * KiB), false)
    const result = await copy(disk, whole(disk.size))
    expect(disk.reads.reduce((sum, { length }) => sum + length, 0)).toBe(4 * BLOCK)
    const { root } = await seal('sparse', disk.size, result)
    expect((await restored(root)).equals(disk.bytes)).toBe(true)
  })
})

describe('an incremental', () => {
  const SIZE = 4 * MiB
  const content = randomBytes(SIZE)

  test('reads only the blocks that CBT named, stores only those that differ, and keeps all others', async () => {
    const full = await seal('full', SIZE, await copy(new MemoryBackend(Uint8Array.from(content)), whole(SIZE)))
    const disk = new WatchedDisk(Uint8Array.from(content))
    disk.bytes.set(randomBytes(4 * KiB), 5 * GRANULE + 1000) // changed
    disk.bytes.fill(0, 20 * GRANULE, 21 * GRANULE) // became zero
    disk.bytes.set(randomBytes(10), 40 * GRANULE) // changed, but CBT does not name it: not seen
    const named = [
      { offset: 5 * GRANULE, length: GRANULE },
      { offset: 9 * GRANULE + 100, length: 200 }, // named, but equal
      { offset: 20 * GRANULE, length: GRANULE },
    ]
    const result = await copy(disk, named, full.key)

    expect(result).toMatchObject({ read: 3 * BLOCK, unchanged: BLOCK, zero: BLOCK })
    expect(disk.reads.toSorted((a, b) => a.offset - b.offset)).toEqual([5, 9, 20].map(i => ({ offset: i * BLOCK, length: BLOCK })))
    expect(result.objects.filter(object => object.kind === 'pack')).toHaveLength(1)
    expect(result.written).toBeLessThan(2 * BLOCK)

    const { root } = await seal('incremental', SIZE, result, full.root)
    const expected = Buffer.from(content)
    expected.set(disk.bytes.subarray(5 * GRANULE, 6 * GRANULE), 5 * GRANULE)
    expected.fill(0, 20 * GRANULE, 21 * GRANULE)
    expect((await restored(root)).equals(expected)).toBe(true)
    expect((await restored(full.root)).equals(content)).toBe(true)
  })

  test('of nothing but equal blocks writes a map and no pack, and its root is the same', async () => {
    const full = await seal('full', SIZE, await copy(new MemoryBackend(Uint8Array.from(content)), whole(SIZE)))
    const result = await copy(new MemoryBackend(Uint8Array.from(content)), whole(SIZE), full.key)
    expect(result).toMatchObject({ unchanged: SIZE, zero: 0 })
    expect(result.objects.map(object => object.kind)).toEqual(['map'])
    const { root } = await seal('incremental', SIZE, result, full.root)
    expect(merkleRoot(root).equals(merkleRoot(full.root))).toBe(true)
  })

  test('that makes a page all zero takes it out of the map', async () => {
    const full = await seal('full', SIZE, await copy(new MemoryBackend(Uint8Array.from(content)), whole(SIZE)))
    const result = await copy(new MemoryBackend(SIZE), whole(SIZE), full.key)
    const { root } = await seal('incremental', SIZE, result, full.root)
    expect(root.pages.length).toBe(0)
  })

  test.each(['MAP_MISSING', 'MAP_DAMAGED'])('of a parent page that is %s reads all of that page again, and says so', async code => {
    const full = await seal('full', SIZE, await copy(new MemoryBackend(Uint8Array.from(content)), whole(SIZE)))
    const mapKey = [...store.objects.keys()].find(key => key.startsWith('maps/'))!
    const map = store.objects.get(mapKey)!
    repository = await openRepository(store)
    if (code === 'MAP_MISSING') store.objects.delete(mapKey)
    else map[100]! ^= 1
    const changed = Uint8Array.from(content)
    changed.set(randomBytes(GRANULE), 3 * GRANULE)

    // CBT named one granule only; the other pages of the range are not touched.
    const result = await copy(new MemoryBackend(changed), [{ offset: 3 * GRANULE, length: GRANULE }], full.key)
    expect(result.damage).toEqual([{ offset: 0, length: Math.min(SIZE, 1024 * BLOCK), code }])
    const { root } = await seal('incremental', SIZE, result, full.root)
    if (code === 'MAP_DAMAGED') map[100]! ^= 1
    expect((await restored(root)).subarray(0, 1024 * BLOCK).equals(changed.subarray(0, 1024 * BLOCK))).toBe(true)
  })

  test('of a disk of another size than the parent is refused', async () => {
    const full = await seal('full', SIZE, await copy(new MemoryBackend(SIZE), whole(SIZE)))
    await expect(copy(new MemoryBackend(2 * SIZE), whole(SIZE), full.key)).rejects.toMatchObject({ code: 'PARENT_DIFFERS' })
  })
})

test('a hole inside a block reads as zeros, whatever was read into the same buffer before', async () => {
  const size = 48 * MiB
  const disk = new MemoryBackend(size)
  // More spans of data than there are buffers, then blocks of which only the last quarter holds data.
  await disk.write(0, randomBytes(24 * MiB), false)
  for (let offset = 24 * MiB; offset < size; offset += 256 * KiB) await disk.write(offset + 192 * KiB, randomBytes(64 * KiB), false)
  repository = await openRepository(new MemoryStore(), { create: true, blockSize: 256 * KiB })
  const client = await serve(disk)
  const task = { extents: whole(size), diskSize: size, blockSize: 256 * KiB, parentPages: null, attemptId: newAttempt() }
  const result = await copyRange(task, { source: client, repository, signal })
  const refs = decodePageRefs(Buffer.from(result.pages, 'base64'))
  const [page] = await repository.getPages(refs)
  const truth = Buffer.alloc(size)
  await disk.read(0, truth)
  for (let entry = 0; entry < page!.blockCount; entry++) {
    const block = truth.subarray(entry * 256 * KiB, (entry + 1) * 256 * KiB)
    expect(page!.hashEquals(entry, formatHash(block)), `block ${entry}`).toBe(true)
  }
})

test('packs and map bear the name of the attempt and are numbered', async () => {
  const client = await serve(new MemoryBackend(randomBytes(1 * MiB)))
  const task = { extents: whole(1 * MiB), diskSize: 1 * MiB, blockSize: BLOCK, parentPages: null, attemptId: 'ab'.repeat(12) }
  const { objects } = await copyRange(task, { source: client, repository, signal })
  expect(objects.map(({ key }) => key)).toEqual([`packs/ab/${'ab'.repeat(12)}00000000`, `maps/ab/${'ab'.repeat(12)}00000001`])
  expect([...store.objects.keys()].filter(key => !key.startsWith('varve'))).toEqual(objects.map(({ key }) => key))
})

test('a read error stops the copy with its code; nothing is reported', async () => {
  const disk = new WatchedDisk(randomBytes(8 * MiB))
  disk.failFrom = 5 * MiB
  await expect(copy(disk, whole(disk.size))).rejects.toMatchObject({ code: 'NBD_REQUEST_FAILED', context: { errno: 'EIO' } })
})

test('a source that is shorter than the disk is refused', async () => {
  const client = await serve(new MemoryBackend(1 * MiB))
  const task = { extents: whole(2 * MiB), diskSize: 2 * MiB, blockSize: BLOCK, parentPages: null, attemptId: newAttempt() }
  await expect(copyRange(task, { source: client, repository, signal })).rejects.toMatchObject({ code: 'SOURCE_SIZE_DIFFERS' })
})

test('an aborted copy ends at once and closes its packs', async () => {
  const stop = new AbortController()
  const client = await serve(new MemoryBackend(randomBytes(8 * MiB)))
  const task = { extents: whole(8 * MiB), diskSize: 8 * MiB, blockSize: BLOCK, parentPages: null, attemptId: newAttempt() }
  const copying = copyRange(task, { source: client, repository, signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) })
  await expect(copying).rejects.toThrow('enough')
  expect([...store.objects.keys()].filter(key => key.startsWith('maps/'))).toEqual([])
})
