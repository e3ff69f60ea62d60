import { CODECS, Page, PageArena } from '@varve/block-map'
import { beforeEach, describe, expect, test } from 'vitest'
import { formatHash } from './block-hash.ts'
import { RepositoryError } from './errors.ts'
import { packKey } from './keys.ts'
import { openRepository, type Repository } from './repository.ts'
import type { ByteRange } from './store.ts'
import { MemoryStore } from './stores/memory-store.ts'
import { blockOf } from './testing/blocks.ts'
import { randomObjectIds } from './testing/object-ids.ts'
import { readAll, writeBlocks } from './testing/write-blocks.ts'

const BLOCK = 64 * 1024
const BLOCKS = 24

class CountingStore extends MemoryStore {
  gets: ByteRange[] = []
  waiting = 0
  mostWaiting = 0

  override async get(key: string, range?: ByteRange, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    if (range !== undefined) this.gets.push(range)
    this.mostWaiting = Math.max(this.mostWaiting, ++this.waiting)
    await new Promise(resolve => setImmediate(resolve))
    this.waiting -= 1
    return super.get(key, range, options)
  }
}

let store: CountingStore
let repository: Repository
let page: Page
const blocks = Array.from({ length: BLOCKS }, (_, i) => blockOf(BLOCK, i, i % 2 === 0 ? 'random' : 'text'))

beforeEach(async () => {
  store = new CountingStore()
  repository = await openRepository(store, { create: true, blockSize: BLOCK })
  page = (await writeBlocks(repository, 0, blocks, { targetSize: 8 * BLOCK })).page
  store.gets = []
})

/** Blocks that come back right, and the codes of those that do not. */
async function outcome(options = {}): Promise<{ good: number[]; damaged: number[] }> {
  const good: number[] = []
  const damaged: number[] = []
  for (const [i, result] of await readAll(repository, page, options)) {
    if (result.damage === undefined) {
      expect(Buffer.compare(result.bytes, blocks[i]!)).toBe(0)
      good.push(i)
    } else {
      expect(result.damage).toMatchObject({ code: 'BLOCK_DAMAGED', context: { index: i } })
      damaged.push(i)
    }
  }
  const ascending = (a: number, b: number) => a - b
  return { good: good.sort(ascending), damaged: damaged.sort(ascending) }
}

const all = blocks.map((_, i) => i)
const inPack = (packId: string) => all.filter(i => page.entry(i)!.packId === packId)

test('reads all with one get per pack where blocks are neighbours', async () => {
  expect(await outcome()).toEqual({ good: all, damaged: [] })
  expect(store.gets.length).toBe(new Set(all.map(i => page.entry(i)!.packId)).size)
})

test('keeps as many gets under way as asked for, and no more', async () => {
  await outcome({ maxGet: BLOCK, coalesceGap: 0, inFlight: 3 })
  expect(store.mostWaiting).toBe(3)
  expect(store.gets.length).toBeGreaterThan(10)
})

test('tells how long nothing had come, not how long the reader took', async () => {
  const before = store.get.bind(store)
  store.get = async (...args) => {
    await new Promise(resolve => setTimeout(resolve, 40))
    return before(...args)
  }
  let waited = 0
  let told = 0
  const onWaited = (ms: number): void => {
    waited += ms
    told += 1
  }
  const requests = blocks.map((_, index) => ({ index, page, entry: index }))
  for await (const _ of repository.readBlocks(requests, { onWaited })) await new Promise(resolve => setTimeout(resolve, 20))
  // All gets are sent at once: the first one is waited for, the others come while the reader is busy for half a second.
  expect(told).toBe(store.gets.length)
  expect(waited).toBeGreaterThan(30)
  expect(waited).toBeLessThan(20 * BLOCKS)
})

test('the same block may be asked for twice', async () => {
  const found: number[] = []
  const requests = [7, 8, 7].map((entry, index) => ({ index, page, entry }))
  for await (const { index, bytes } of repository.readBlocks(requests)) {
    expect(Buffer.compare(bytes!, blocks[requests[index]!.entry]!)).toBe(0)
    found.push(index)
  }
  expect(found.sort()).toEqual([0, 1, 2])
})

describe('damage is that of the block it is in', () => {
  test('an altered byte in a frame', async () => {
    for (const victim of [4, 5]) {
      const { packId, offset } = page.entry(victim)!
      store.objects.get(packKey(packId))![offset + 20]! ^= 1
    }
    expect(await outcome()).toEqual({ good: all.filter(i => i !== 4 && i !== 5), damaged: [4, 5] })
  })

  test('a pack that is gone', async () => {
    const { packId } = page.entry(0)!
    store.objects.delete(packKey(packId))
    const gone = inPack(packId)
    expect(await outcome()).toEqual({ good: all.filter(i => !gone.includes(i)), damaged: gone })
  })

  test('a pack that is cut: what lies before the cut is still good', async () => {
    const { packId } = page.entry(0)!
    const victims = inPack(packId)
    const { offset } = page.entry(victims[3]!)!
    const key = packKey(packId)
    store.objects.set(key, store.objects.get(key)!.subarray(0, offset + 10))
    expect(await outcome()).toEqual({ good: all.filter(i => !victims.slice(3).includes(i)), damaged: victims.slice(3) })
  })

  test('an entry with the right place and the wrong hash', async () => {
    page.setStored(3, formatHash(Buffer.from('other')), page.entry(3)!)
    expect((await outcome()).damaged).toEqual([3])
  })

  test('an entry that claims a huge length', async () => {
    page.setStored(3, page.entry(3)!.hash, { ...page.entry(3)!, storedLength: 0xffff_ffff })
    expect((await outcome()).damaged).toEqual([3])
    expect(store.gets.every(({ length }) => length <= 8 * 1024 * 1024)).toBe(true)
  })

  test('a raw entry longer than a block', async () => {
    page.setStored(0, page.entry(0)!.hash, { ...page.entry(0)!, storedLength: BLOCK + 1, codec: CODECS.raw })
    expect((await outcome()).damaged).toEqual([0])
  })
})

test('a store in trouble is thrown, not taken for damage', async () => {
  store.get = async () => {
    throw new RepositoryError('STORE_UNAVAILABLE', 'down')
  }
  await expect(outcome()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
})

test('stops when aborted, and when the reader stops', async () => {
  const abort = new AbortController()
  const requests = all.map(i => ({ index: i, page, entry: i }))
  let seen = 0
  await expect(async () => {
    for await (const _ of repository.readBlocks(requests, { signal: abort.signal, maxGet: BLOCK })) {
      seen += 1
      abort.abort(new Error('enough'))
    }
  }).rejects.toThrow('enough')
  expect(seen).toBeLessThan(BLOCKS)
  const before = store.gets.length
  for await (const _ of repository.readBlocks(requests, { maxGet: BLOCK, coalesceGap: 0, inFlight: 2 })) break
  expect(store.gets.length - before).toBeLessThanOrEqual(3)
})

test('a zero block cannot be asked for', async () => {
  const empty = Page.empty(0, 4)
  await expect(async () => {
    for await (const _ of repository.readBlocks([{ index: 0, page: empty, entry: 0 }]));
  }).rejects.toThrow(RangeError)
})

describe('pages', () => {
  test('are read once, and handed out as copies', async () => {
    const { refs } = await repository.putMap(randomObjectIds(), [page])
    const [first] = await repository.getPages(refs)
    first!.setZero(0)
    const gets = store.gets.length
    const [second] = await repository.getPages(refs)
    expect(second!.isZero(0)).toBe(false)
    second!.setZero(0)
    const [third] = await repository.getPages(refs)
    expect(third!.isZero(0)).toBe(false)
    expect(store.gets.length).toBe(gets)
  })

  test('that lie in an arena are not remembered, and end with it', async () => {
    const { refs } = await repository.putMap(randomObjectIds(), [page])
    const arena = new PageArena()
    const [first] = await repository.getPages(refs, { arena })
    expect(first!.encode()).toEqual(page.encode())
    const gets = store.gets.length
    await repository.getPages(refs)
    expect(store.gets.length).toBe(gets + 1)
    const beside = Page.empty(3, 1024, arena)
    beside.setStored(1023, Buffer.alloc(32, 7), { packId: 'ab'.repeat(16), offset: 1, storedLength: 1, codec: 0 })
    expect(first!.encode()).toEqual(page.encode())
    arena.reset()
    const [again] = [Page.empty(9, page.blockCount, arena)]
    expect(again.storedBlocks).toBe(0)
    expect(again.encode()).toEqual(Page.empty(9, page.blockCount).encode())
  })

  test('of several maps come in the order asked for, neighbours in one get', async () => {
    const one = await repository.putMap(randomObjectIds(), [5, 6, 7].map(pageAt))
    const two = await repository.putMap(randomObjectIds(), [pageAt(9)])
    const refs = [one.refs[2]!, two.refs[0]!, one.refs[0]!, one.refs[1]!]
    expect((await repository.getPages(refs)).map(each => each.pageIndex)).toEqual([7, 9, 5, 6])
    expect(store.gets.length).toBe(2)
  })

  test('that are damaged, gone or others than the reference says are refused', async () => {
    const { object, refs } = await repository.putMap(randomObjectIds(), [pageAt(1), pageAt(2)])
    const [first, second] = [refs[0]!, refs[1]!]
    await expect(repository.getPages([{ ...first, hash: Buffer.alloc(32) }])).rejects.toMatchObject({ code: 'MAP_DAMAGED' })
    await expect(repository.getPages([{ ...first, pageIndex: 2 }])).rejects.toMatchObject({ code: 'MAP_DAMAGED' })
    await expect(repository.getPages([{ ...first, offset: second.offset }])).rejects.toMatchObject({ code: 'MAP_DAMAGED' })
    await expect(repository.getPages([{ ...first, length: first.length * 4 }])).rejects.toMatchObject({ code: 'MAP_DAMAGED' })
    const bytes = store.objects.get(object!.key)!
    for (let at = second.offset; at < second.offset + second.length; at++) {
      bytes[at]! ^= 4
      await expect(repository.getPages([second])).rejects.toMatchObject({ code: 'MAP_DAMAGED' })
      bytes[at]! ^= 4
    }
    expect((await repository.getPages([first])).length).toBe(1)
    store.objects.delete(object!.key)
    await expect(repository.getPages([second])).rejects.toMatchObject({ code: 'MAP_MISSING' })
  })

  function pageAt(pageIndex: number): Page {
    const other = Page.empty(pageIndex, 1024)
    other.copyEntry(page, pageIndex)
    return other
  }
})
