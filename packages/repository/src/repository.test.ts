import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { blocksInPage, Page, PageRefs, type Root } from '@varve/block-map'
import { afterAll, describe, expect, test } from 'vitest'
import { openStore } from './open-store.ts'
import { openRepository } from './repository.ts'
import { encodeFormat } from './repository-format.ts'
import { sealJson } from './sealed-json.ts'
import type { Store } from './store.ts'
import { MemoryStore } from './stores/memory-store.ts'
import { S3Store } from './stores/s3/s3-store.ts'
import { blockOf, startMinio } from './testing/index.ts'
import { randomObjectIds } from './testing/object-ids.ts'
import { readAll, writeBlocks } from './testing/write-blocks.ts'

const BLOCK = 64 * 1024
const cleanUp: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const close of cleanUp.reverse()) await close()
})

async function directory(): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-repository-'))
  cleanUp.push(() => rm(folder, { recursive: true, force: true }))
  return openStore(pathToFileURL(folder).href)
}

async function s3(): Promise<Store | string> {
  const minio = await startMinio()
  if (typeof minio === 'string') return minio
  cleanUp.push(() => minio.close())
  const store = await openStore('s3://varve-test', minio.settings)
  cleanUp.push(() => store.close())
  return store
}

describe.each<[string, () => Promise<Store | string>]>([
  ['memory', () => openStore('memory:')],
  ['directory', directory],
  ['S3', s3],
])('a repository in %s', (_name, make) => {
  test('gives back what was written, through packs, map, root and manifest', async ctx => {
    const store = await make()
    if (typeof store === 'string') return ctx.skip(store)
    const opened = store instanceof S3Store ? { ...store.counters } : undefined
    const repository = await openRepository(store, { create: true, blockSize: BLOCK })
    // The last block of a disk may be short.
    const blocks = Array.from({ length: 40 }, (_, i) => blockOf(i === 39 ? 512 : BLOCK, i, i % 3 === 0 ? 'random' : 'text'))
    const { page, objects } = await writeBlocks(repository, 3, blocks, { targetSize: 256 * 1024 })
    expect(objects.length).toBeGreaterThan(2)

    const { object, refs } = await repository.putMap(randomObjectIds(), [page, Page.empty(4, 10)])
    expect(object).toMatchObject({ kind: 'map' })
    expect(refs.map(ref => [ref.pageIndex, ref.storedBlocks])).toEqual([
      [3, 40],
      [4, 0],
    ])
    const root: Root = { imageId: 'image-1', diskSize: 5 * 1024 * BLOCK, blockSize: BLOCK, pages: PageRefs.from(refs.slice(0, 1)) }
    const rootKey = await repository.putRoot(root)
    const manifestKey = await repository.putManifest(manifestOf('vm-1', '2026-03-01T10:20:30.400Z', 'p1', rootKey))

    // A second process finds everything.
    const again = await openRepository(store)
    expect(again.format).toEqual(repository.format)
    expect(await again.listManifests('vm-1')).toEqual([manifestKey])
    const [image] = (await again.getManifest(manifestKey)).images
    const found = await again.getRoot(image!.rootKey)
    const [read] = await again.getPages([...found.pages])
    expect(read!.hash()).toEqual(page.hash())
    const results = await readAll(again, read!)
    for (const [i, bytes] of blocks.entries()) expect(Buffer.compare(results.get(i)!.bytes!, bytes)).toBe(0)

    for (const { key, size } of [...objects, object!]) expect((await store.get(key)).length).toBe(size)
    // One list, of manifests; nothing else is looked for on the way of the data.
    if (store instanceof S3Store) expect(store.counters).toMatchObject({ heads: opened!.heads, lists: opened!.lists + 1 })
  })
})

describe('varve.json', () => {
  test('is there before anything is opened', async () => {
    await expect(openRepository(new MemoryStore())).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' })
  })

  test('is written once and never changed', async () => {
    const store = new MemoryStore()
    const first = await openRepository(store, { create: true, compression: 'none', blockSize: BLOCK })
    const second = await openRepository(store, { create: true, compression: 'lz4', blockSize: 2 * BLOCK })
    expect(second.format).toEqual(first.format)
    expect(first.format).toMatchObject({ version: 1, blockSize: BLOCK, compression: 'none', hash: 'sha256' })
  })

  test('of a newer format, or damaged, is refused', async () => {
    const store = new MemoryStore()
    const { format } = await openRepository(store, { create: true })
    await store.put('varve.json', sealJson({ format: 'varve-repository', ...format, version: 2 }))
    await expect(openRepository(store, { create: true })).rejects.toMatchObject({ code: 'REPOSITORY_VERSION_UNKNOWN' })
    await store.put('varve.json', Buffer.from(encodeFormat(format).toString().replace('zstd', 'none')))
    await expect(openRepository(store, { create: true })).rejects.toMatchObject({ code: 'REPOSITORY_INVALID' })
    await store.put('varve.json', Buffer.from('{}'))
    await expect(openRepository(store)).rejects.toMatchObject({ code: 'REPOSITORY_INVALID' })
  })

  test('cannot be made with a block size that cannot be', async () => {
    const store = new MemoryStore()
    await expect(openRepository(store, { create: true, blockSize: 1000 })).rejects.toMatchObject({ code: 'REPOSITORY_INVALID' })
    expect(store.objects.size).toBe(0)
  })
})

describe('manifests', () => {
  test('are listed by VM, oldest first', async () => {
    const repository = await openRepository(new MemoryStore(), { create: true })
    for (const [vm, time, id] of [
      ['b', '2026-03-02T00:00:00.000Z', 'p2'],
      ['a', '2026-12-01T00:00:00.000Z', 'p4'],
      ['b', '2026-03-01T00:00:00.000Z', 'p1'],
      ['ab', '2026-03-01T00:00:00.000Z', 'p3'],
    ] as const) {
      await repository.putManifest(manifestOf(vm, time, id, 'images/x.root'))
    }
    expect(await repository.listManifests('b')).toEqual(['points/b/20260301T000000.000Z-p1.json', 'points/b/20260302T000000.000Z-p2.json'])
    expect(await repository.listManifests()).toHaveLength(4)
    expect(await repository.listManifests('a')).toHaveLength(1)
  })

  test('of a VM whose id cannot be a key are refused', async () => {
    const repository = await openRepository(new MemoryStore(), { create: true })
    const manifest = manifestOf('../up', '2026-03-01T00:00:00.000Z', 'p1', 'images/x.root')
    await expect(repository.putManifest(manifest)).rejects.toMatchObject({ code: 'KEY_INVALID' })
  })
})

test('a map of nothing but zeros is no object, only tombstones', async () => {
  const store = new MemoryStore()
  const repository = await openRepository(store, { create: true })
  const { object, refs } = await repository.putMap(randomObjectIds(), [
    Page.empty(0, 1024),
    Page.empty(1, blocksInPage(3 * BLOCK, BLOCK, 0)),
  ])
  expect(object).toBeUndefined()
  expect(refs.map(ref => ref.storedBlocks)).toEqual([0, 0])
  expect([...store.objects.keys()]).toEqual(['varve.json'])
})

function manifestOf(vmId: string, createdAt: string, restorePointId: string, rootKey: string) {
  const image = { imageId: 'image-1', diskId: 'disk-1', diskSize: 512, blockSize: BLOCK, kind: 'full', reason: 'first', rootKey } as const
  return {
    restorePointId,
    vm: { id: vmId, platformId: 'platform-1', platformVmId: '42', name: 'web' },
    createdAt,
    checkpointId: '1',
    parentId: null,
    config: {},
    images: [{ ...image, merkleRoot: '0'.repeat(64), cbt: true, read: 0, stored: 0 }],
  }
}

describe('one root asked for by several', () => {
  /** A repository whose gets of roots wait to be let go, and what was asked for. */
  async function slowRoots() {
    const store = await openStore('memory:')
    const first = await openRepository(store, { create: true, blockSize: BLOCK })
    const key = await first.putRoot({ imageId: 'image', diskSize: BLOCK, blockSize: BLOCK, pages: PageRefs.none })
    const asked: { answer(): void; fail(error: Error): void }[] = []
    const slow: Store = Object.assign(Object.create(store), {
      async get(...args: Parameters<Store['get']>) {
        if (args[0] !== key) return store.get(...args)
        await new Promise<void>((answer, fail) => asked.push({ answer, fail }))
        return store.get(...args)
      },
    })
    return { key, asked, repository: await openRepository(slow) }
  }

  test('is fetched once', async () => {
    const { key, asked, repository } = await slowRoots()
    const roots = [repository.getRoot(key), repository.getRoot(key), repository.getRoot(key)]
    await setImmediate()
    expect(asked.length).toBe(1)
    asked[0]!.answer()
    const [one, ...others] = await Promise.all(roots)
    for (const other of others) expect(other).toBe(one)
  })

  test('is fetched by each when the first could not have it, whose error is its own', async () => {
    const { key, asked, repository } = await slowRoots()
    const [first, ...others] = [repository.getRoot(key), repository.getRoot(key), repository.getRoot(key)]
    await setImmediate()
    asked[0]!.fail(new Error('the first'))
    await expect(first).rejects.toThrow('the first')
    await setImmediate()
    expect(asked.length).toBe(3)
    for (const { answer } of asked.slice(1)) answer()
    for (const other of others) await expect(other).resolves.toMatchObject({ imageId: 'image' })
  })

  test('is waited for no longer than the own signal allows; who asks afresh does not wait for others', async () => {
    const { key, asked, repository } = await slowRoots()
    const first = repository.getRoot(key)
    const stop = new AbortController()
    const second = repository.getRoot(key, { signal: stop.signal })
    stop.abort(new Error('cancelled'))
    await expect(second).rejects.toThrow('cancelled')
    const fresh = repository.getRoot(key, { fresh: true })
    await setImmediate()
    expect(asked.length).toBe(2)
    for (const { answer } of asked) answer()
    await expect(Promise.all([first, fresh])).resolves.toHaveLength(2)
  })
})

test.each([
  [2, 'root'],
  [2, 'manifest'],
  [3, 'root'],
  [3, 'manifest'],
] as const)('%d wrong answers in a row with a %s', async (wrong, what) => {
  const store = await openStore('memory:')
  const repository = await openRepository(store, { create: true, blockSize: BLOCK })
  const root: Root = { imageId: 'image', diskSize: BLOCK, blockSize: BLOCK, pages: PageRefs.none }
  const key = await repository.putRoot(root)
  const manifest = manifestOf('vm-1', '2026-03-01T10:20:30.400Z', 'p1', key)
  const manifestKey = await repository.putManifest(manifest)
  let left: number = wrong
  const lying: Store = Object.assign(Object.create(store), {
    async get(...args: Parameters<Store['get']>) {
      const bytes = Buffer.from(await store.get(...args))
      if (left-- > 0) bytes[bytes.length - 1]! ^= 1
      return bytes
    },
  })
  left = 0
  const again = await openRepository(lying)
  left = wrong
  const found = what === 'root' ? again.getRoot(key) : again.getManifest(manifestKey)
  if (wrong < 3) await expect(found).resolves.toEqual(what === 'root' ? root : manifest)
  else await expect(found).rejects.toHaveProperty('code', what === 'root' ? 'MAP_CORRUPT' : 'MANIFEST_INVALID')
})
