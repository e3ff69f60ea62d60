import type { BlockLocation } from '@varve/block-map'
import { beforeEach, describe, expect, test } from 'vitest'
import { formatHash, isZero } from './block-hash.ts'
import { decompress, openCompressor } from './codec/codec.ts'
import { RepositoryError } from './errors.ts'
import { KeptBuffers } from './kept-buffers.ts'
import { packKey } from './keys.ts'
import { decodePack, MAX_PACK_BLOCKS } from './pack-format.ts'
import { PackWriter, type PackWriterOptions } from './pack-writer.ts'
import { MemoryStore } from './stores/memory-store.ts'
import { blockOf } from './testing/blocks.ts'
import { randomObjectIds } from './testing/object-ids.ts'

const BLOCK = 64 * 1024

/** Puts wait until they are let through. */
class SlowStore extends MemoryStore {
  readonly waiting: { let: () => void; fail: (error: Error) => void }[] = []

  override async put(key: string, bytes: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.waiting.push({ let: resolve, fail: reject })
      options.signal?.addEventListener('abort', () => reject(options.signal?.reason))
    })
    await super.put(key, bytes)
  }
}

let store: SlowStore
beforeEach(() => {
  store = new SlowStore()
})

function open(options: PackWriterOptions = {}): PackWriter {
  return new PackWriter(store, randomObjectIds(), openCompressor('zstd'), new KeptBuffers(2), { targetSize: 2 * BLOCK, ...options })
}

function add(writer: PackWriter, seed: number, kind: 'random' | 'text' = 'random') {
  const bytes = blockOf(BLOCK, seed, kind)
  return writer.add(formatHash(bytes), bytes)
}

const tick = () => new Promise(resolve => setImmediate(resolve))

test('answers at once until all packs are on their way, then waits', async () => {
  const writer = open({ maxPending: 2 })
  const packs = new Set<string>()
  for (let seed = 0; seed < 6; seed++) packs.add((add(writer, seed) as BlockLocation).packId)
  expect(packs.size).toBe(3)
  expect(store.waiting.length).toBe(2)

  const late = add(writer, 6)
  const later = add(writer, 7)
  expect(late).toBeInstanceOf(Promise)
  await tick()
  expect(store.waiting.length).toBe(2)
  store.waiting[0]!.let()
  await Promise.all([late, later])
  expect(writer.waitMs).toBeGreaterThan(0)

  const finished = writer.finish()
  while (store.waiting.length < 4) {
    for (const { let: pass } of store.waiting) pass()
    await tick()
  }
  for (const { let: pass } of store.waiting) pass()
  const { objects } = await finished
  expect(objects.length).toBe(4)
  expect(objects.reduce((sum, { key }) => sum + decodePack(store.objects.get(key)!).blocks.length, 0)).toBe(8)
})

test('what a location names is in the pack, and the footer says the same', async () => {
  const writer = open()
  const bytes = [blockOf(BLOCK, 1, 'text'), blockOf(BLOCK, 2, 'random'), Buffer.from('short')]
  const locations = bytes.map(each => writer.add(formatHash(each), each) as BlockLocation)
  const finished = writer.finish()
  for (const { let: pass } of store.waiting) pass()
  await finished
  expect(locations[0]!.codec).not.toBe(0)
  expect(locations.slice(1).map(({ codec }) => codec)).toEqual([0, 0])
  const pack = store.objects.get(packKey(locations[0]!.packId))!
  const { blocks } = decodePack(pack)
  for (const [i, location] of locations.entries()) {
    const { offset, storedLength, codec } = location
    expect(Buffer.compare(decompress(codec, pack.subarray(offset, offset + storedLength), Buffer.alloc(BLOCK)), bytes[i]!)).toBe(0)
    expect(blocks[i]).toMatchObject({ offset, storedLength, codec, rawLength: bytes[i]!.length })
    expect(Buffer.compare(blocks[i]!.hash, formatHash(bytes[i]!))).toBe(0)
  }
  expect(writer.rawBytes).toBe(2 * BLOCK + 5)
  expect(writer.storedBytes).toBe(locations.reduce((sum, each) => sum + each.storedLength, 0))
})

test('the same block is stored once', async () => {
  const writer = open()
  const first = add(writer, 1)
  expect(add(writer, 1)).toEqual(first)
  expect(writer.rawBytes).toBe(BLOCK)
})

test('the same block is stored once also when both had to wait', async () => {
  const writer = open({ maxPending: 1 })
  for (let seed = 0; seed < 4; seed++) add(writer, seed)
  const both = [add(writer, 9), add(writer, 9)]
  store.waiting[0]!.let()
  const [one, two] = await Promise.all(both)
  expect(two).toEqual(one)
  expect(writer.rawBytes).toBe(5 * BLOCK)
  await writer.abort()
})

test('without a block there is no pack', async () => {
  expect(await open().finish()).toEqual({ objects: [] })
  expect(store.waiting.length).toBe(0)
})

test('a pack is closed at its most blocks too, so that its footer is bounded', async () => {
  const writer = open({ targetSize: 1024 * 1024 })
  const packs = new Map<string, number>()
  for (let i = 0; i < MAX_PACK_BLOCKS + 1; i++) {
    const bytes = Buffer.from(`block ${i}`)
    const { packId } = writer.add(formatHash(bytes), bytes) as BlockLocation
    packs.set(packId, (packs.get(packId) ?? 0) + 1)
  }
  expect([...packs.values()]).toEqual([MAX_PACK_BLOCKS, 1])
  await writer.abort()
})

describe('a pack that cannot be stored', () => {
  test('fails the adds that wait, those that follow, and finish', async () => {
    const writer = open({ maxPending: 1 })
    for (let seed = 0; seed < 4; seed++) add(writer, seed)
    const late = add(writer, 4)
    store.waiting[0]!.fail(new RepositoryError('STORE_FULL', 'no space'))
    await expect(late).rejects.toMatchObject({ code: 'STORE_FULL' })
    expect(() => add(writer, 5)).toThrow('no space')
    await expect(writer.finish()).rejects.toMatchObject({ code: 'STORE_FULL' })
    await writer.abort()
  })

  test('fails finish when it was the last one', async () => {
    const writer = open()
    add(writer, 1)
    const finished = writer.finish()
    store.waiting[0]!.fail(new RepositoryError('STORE_UNAVAILABLE', 'down'))
    await expect(finished).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })
})

describe('giving up', () => {
  test('abort stops what is under way, and later calls say so', async () => {
    const writer = open({ maxPending: 1 })
    for (let seed = 0; seed < 4; seed++) add(writer, seed)
    const late = add(writer, 4) as Promise<BlockLocation>
    const failed = expect(late).rejects.toMatchObject({ code: 'WRITER_CLOSED' })
    await writer.abort()
    await failed
    expect(() => add(writer, 5)).toThrow(expect.objectContaining({ code: 'WRITER_CLOSED' }))
    await expect(writer.finish()).rejects.toMatchObject({ code: 'WRITER_CLOSED' })
    expect(store.objects.size).toBe(0)
  })

  test('the signal does the same with its reason', async () => {
    const abort = new AbortController()
    const writer = open({ signal: abort.signal })
    add(writer, 1)
    const finished = writer.finish()
    abort.abort(new Error('cancelled'))
    await expect(finished).rejects.toThrow('cancelled')
  })
})

test('isZero sees every byte', () => {
  const block = Buffer.alloc(9 * 1024 * 1024)
  expect(isZero(block)).toBe(true)
  expect(isZero(new Uint8Array())).toBe(true)
  for (const at of [0, 1, 4 * 1024 * 1024 - 1, 4 * 1024 * 1024, block.length - 1]) {
    block[at] = 1
    expect(isZero(block)).toBe(false)
    block[at] = 0
  }
})
