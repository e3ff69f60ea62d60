import { randomBytes } from 'node:crypto'
import { Page } from '@varve/block-map'
import { beforeEach, describe, expect, test } from 'vitest'
import type { WrittenObject } from './pack-writer.ts'
import { openRepository, type Repository } from './repository.ts'
import { MemoryStore } from './stores/memory-store.ts'
import { randomObjectIds } from './testing/object-ids.ts'
import { writeBlocks } from './testing/write-blocks.ts'

let store: CountingStore
let repository: Repository
const KiB = 1024

class CountingStore extends MemoryStore {
  gets = 0
  bytes = 0
  override async get(...args: Parameters<MemoryStore['get']>): Promise<Uint8Array> {
    const got = await super.get(...args)
    this.gets += 1
    this.bytes += got.length
    return got
  }
}

beforeEach(async () => {
  store = new CountingStore()
  repository = await openRepository(store, { create: true })
})

async function pack(blocks: readonly Uint8Array[]): Promise<WrittenObject> {
  const { objects } = await writeBlocks(repository, 0, blocks)
  expect(objects).toHaveLength(1)
  store.gets = 0
  store.bytes = 0
  return objects[0]!
}

const blocks = (count: number, length: number): Uint8Array[] => Array.from({ length: count }, () => randomBytes(length))
const why = (object: WrittenObject, options: Parameters<Repository['readBack']>[1] = {}) => repository.readBack(object, options)

function alter({ key }: WrittenObject, at: number): () => void {
  const bytes = store.objects.get(key)!
  const place = at < 0 ? bytes.length + at : at
  bytes[place]! ^= 1
  return () => (bytes[place]! ^= 1)
}

test('a small pack is read in one get: every altered byte shows', async () => {
  const object = await pack(blocks(3, 700))
  expect(await why(object)).toBeUndefined()
  expect(store.gets).toBe(1)
  for (let at = 0; at < object.size; at += 1) {
    const mend = alter(object, at)
    expect(await why(object), `byte ${at}`).toBeTypeOf('string')
    mend()
  }
})

describe('a pack of 10 MiB', () => {
  let object: WrittenObject
  beforeEach(async () => {
    object = await pack(blocks(40, 256 * KiB))
  })

  test('costs four gets, of header, end and two blocks', async () => {
    expect(await why(object)).toBeUndefined()
    expect(store.gets).toBe(4)
    expect(store.bytes).toBeLessThan(540 * KiB)
  })

  test.each([0, 4, 6, 8, 30, -1, -5, -20, -30, -33, -33 - 48 * 40 + 1])('altered at %i', async at => {
    alter(object, at)
    expect(await why(object)).toBeTypeOf('string')
  })

  test('a block altered: found where it is looked at, and always in the whole', async () => {
    alter(object, 32 + 20 * 256 * KiB + 5)
    expect(await why(object, { random: () => 0.5 })).toContain('hash')
    expect(await why(object, { random: () => 0.1 })).toBeUndefined()
    expect(await why(object, { whole: true })).toContain('hash')
  })

  test('gone, cut, longer, another in its place', async () => {
    const bytes = store.objects.get(object.key)!
    store.objects.set(object.key, bytes.subarray(0, bytes.length - 1))
    expect(await why(object)).toBeTypeOf('string')
    store.objects.set(object.key, Buffer.concat([bytes, Buffer.alloc(1)]))
    expect(await why(object, { whole: true })).toBeTypeOf('string')
    const other = await pack(blocks(40, 256 * KiB))
    store.objects.set(object.key, store.objects.get(other.key)!)
    expect(await why(object)).toContain('it is pack')
    store.objects.delete(object.key)
    expect(await why(object)).toBe('it is not there')
  })
})

test('a footer longer than what is asked for at first', async () => {
  const object = await pack(blocks(1000, 600))
  expect(object.size).toBeGreaterThan(128 * KiB)
  expect(await why(object)).toBeUndefined()
  expect(store.gets).toBe(5)
  alter(object, -33 - 48 * 1000 + 2)
  expect(await why(object)).toBeTypeOf('string')
})

test('a store in trouble is no lie', async () => {
  const object = await pack(blocks(1, 100))
  const abort = AbortSignal.abort(new Error('stop'))
  await expect(why(object, { signal: abort })).rejects.toThrow('stop')
})

describe('maps', () => {
  async function map(pages: number): Promise<WrittenObject> {
    const { page } = await writeBlocks(repository, 0, blocks(1, 100))
    const entry = page.entry(0)!
    const full = Array.from({ length: pages }, (_, index) => {
      const made = Page.empty(index, 1024)
      for (let i = 0; i < 1024; i++) made.setStored(i, entry.hash, entry)
      return made
    })
    const { object } = await repository.putMap(randomObjectIds(), full)
    store.gets = 0
    return object!
  }

  test('one get; altered, gone, another in its place', async () => {
    const object = await map(2)
    expect(await why(object)).toBeUndefined()
    expect(store.gets).toBe(1)
    for (const at of [0, 8, 24, 40, 5000, -1]) {
      const mend = alter(object, at)
      expect(await why(object), `byte ${at}`).toBeTypeOf('string')
      mend()
    }
    const bytes = store.objects.get(object.key)!
    store.objects.set(object.key, store.objects.get((await map(2)).key)!)
    expect(await why(object)).toContain('it is map')
    store.objects.set(object.key, bytes.subarray(0, -9))
    expect(await why(object)).toBeTypeOf('string')
    store.objects.delete(object.key)
    expect(await why(object)).toBe('it is not there')
  })

  test('a long one: its first pages and its end, or the whole', async () => {
    const object = await map(40)
    expect(object.size).toBeGreaterThan(1024 * KiB)
    expect(await why(object)).toBeUndefined()
    expect(store.gets).toBe(2)
    const mend = alter(object, -1)
    expect(await why(object, { whole: true })).toBeTypeOf('string')
    mend()
    alter(object, 32 + 24 + 3)
    expect(await why(object)).toBeTypeOf('string')
    const bytes = store.objects.get(object.key)!
    store.objects.set(object.key, bytes.subarray(0, -1))
    expect(await why(object)).toBeTypeOf('string')
  })
})
