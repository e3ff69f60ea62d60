import { randomBytes } from 'node:crypto'
import { encodePageRefs, Page } from '@varve/block-map'
import { formatHash, type WrittenObject } from '@varve/repository'
import { randomObjectIds } from '@varve/repository/testing'
import { describe, expect, test } from 'vitest'
import { prepareBackup } from './prepare-backup.ts'
import { chooseObjects } from './read-back.ts'
import { sealRestorePoint } from './seal-restore-point.ts'
import { type StoryWorld, storyWorld } from './testing/story-world.ts'

const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
const MiB = 1024 * 1024

/** A full of one disk with one pack of 1 MiB and one map, all reported. */
async function toSeal(): Promise<StoryWorld & { readonly pack: string; readonly map: string }> {
  const world = await storyWorld({ kind: 'backup' }, [{ id: 'virtio0', size: 2 * MiB, datastoreId: 'store' }])
  const { catalog, deps } = world
  await prepareBackup(RUN_ID, deps, signal)
  const page = Page.empty(0, 8)
  const newId = randomObjectIds()
  const writer = deps.repository.packWriter(newId)
  for (let i = 0; i < 4; i++) {
    const bytes = randomBytes(MiB / 4)
    const hash = formatHash(bytes)
    page.setStored(i, hash, await writer.add(hash, bytes))
  }
  const [pack] = (await writer.finish()).objects
  const { object: map, refs } = await deps.repository.putMap(newId, [page])
  catalog.objects = [pack!, map!]
  catalog.pages.set(catalog.run.images[0]!.id, encodePageRefs(refs))
  catalog.run = { ...catalog.run, state: 'sealing' }
  return { ...world, pack: pack!.key, map: map!.key }
}

const sealing = (world: StoryWorld, readBack?: number | 'all') =>
  sealRestorePoint(RUN_ID, { ...world.deps, ...(readBack === undefined ? {} : { readBack }) }, signal)

/** From now on puts whose key fits are accepted and not kept. */
function forget({ store }: StoryWorld, key: RegExp): void {
  const put = store.put.bind(store)
  store.put = async (...args) => (key.test(args[0]) ? undefined : put(...args))
}

test('what was kept is sealed', async () => {
  const world = await toSeal()
  await sealing(world)
  expect(world.catalog.sealed).not.toBeNull()
})

describe('what was not kept as it was written is not sealed, and the object is named', () => {
  test.each(['pack', 'map'] as const)('a %s is gone', async kind => {
    const world = await toSeal()
    await world.store.delete([world[kind]])
    await expect(sealing(world)).rejects.toMatchObject({ code: 'STORE_LIED', message: expect.stringContaining(world[kind]) })
    expect(world.catalog.sealed).toBeNull()
    expect(await world.deps.repository.listManifests()).toEqual([])
  })

  test.each(['pack', 'map'] as const)('a bit of the end of a %s is wrong', async kind => {
    const world = await toSeal()
    const bytes = world.store.objects.get(world[kind])!
    bytes[bytes.length - 3]! ^= 1
    await expect(sealing(world)).rejects.toMatchObject({ code: 'STORE_LIED', message: expect.stringContaining(world[kind]) })
  })

  test('any bit of any block, when all is read', async () => {
    const world = await toSeal()
    const bytes = world.store.objects.get(world.pack)!
    bytes[700_000]! ^= 1
    await expect(sealing(world, 'all')).rejects.toMatchObject({ code: 'STORE_LIED', message: expect.stringContaining('hash') })
  })

  test.each([
    ['the root', /\.root$/],
    ['the manifest', /^points\//],
  ])('%s', async (_what, key) => {
    const world = await toSeal()
    forget(world, key)
    await expect(sealing(world)).rejects.toMatchObject({ code: 'STORE_LIED', message: expect.stringMatching(/is not there/) })
    expect(world.catalog.sealed).toBeNull()
  })
})

test('0 looks at nothing', async () => {
  const world = await toSeal()
  await world.store.delete([world.pack])
  forget(world, /\.root$|^points\//)
  await sealing(world, 0)
  expect(world.catalog.sealed).not.toBeNull()
})

test('one wrong answer is not yet a lie', async () => {
  const world = await toSeal()
  const get = world.store.get.bind(world.store)
  const seen = new Set<string>()
  world.store.get = async (...args) => {
    const bytes = await get(...args)
    if (!seen.has(args[0])) bytes[bytes.length >>> 1]! ^= 1
    seen.add(args[0])
    return bytes
  }
  await sealing(world)
  expect(world.catalog.sealed).not.toBeNull()
})

test('a bounded choice of each kind, none twice; all of a few', () => {
  const objects = Array.from({ length: 100 }, (_, i): WrittenObject => ({ key: `k${i}`, size: 1, kind: i % 3 === 0 ? 'map' : 'pack' }))
  const chosen = chooseObjects(objects, 16, Math.random)
  expect(new Set(chosen).size).toBe(32)
  expect(chosen.filter(({ kind }) => kind === 'map')).toHaveLength(16)
  expect(chooseObjects(objects.slice(0, 5), 16, Math.random)).toHaveLength(5)
  expect(chooseObjects(objects, 'all', Math.random)).toBe(objects)
  // Each may be chosen.
  const ever = new Set(Array.from({ length: 60 }, () => chooseObjects(objects, 16, Math.random)).flat())
  expect(ever.size).toBe(100)
})
