import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeWords, encodeWords } from './map-file.ts'
import { PageCache } from './page-cache.ts'
import { PagedMap, type PageStore, WORDS_PER_PAGE } from './paged-map.ts'

/** Pages as stored bytes, so that the words' coding takes part. */
class BytePages implements PageStore {
  readonly pages = new Map<number, Buffer>()
  reads = 0
  fail = false

  read(page: number, words: Uint16Array): boolean {
    const bytes = this.pages.get(page)
    if (bytes === undefined) return false
    this.reads += 1
    decodeWords(bytes, words)
    return true
  }

  write(page: number, firstWord: number, words: Uint16Array): void {
    if (this.fail) throw new Error('no space')
    let bytes = this.pages.get(page)
    if (bytes === undefined) {
      bytes = Buffer.alloc(WORDS_PER_PAGE * 4)
      this.pages.set(page, bytes)
    }
    encodeWords(words, bytes.subarray(firstWord * 4))
  }
}

const PER_PAGE = { 1: 16384, 2: 8192 } as const

test('a map is an array: get, all, fill, runs and nextRun agree with one, over page borders, with a cache of one page', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1 as const, 2 as const),
      fc.boolean(),
      fc.array(fc.tuple(fc.nat(90), fc.nat(70), fc.nat(2), fc.boolean()), { maxLength: 20 }),
      (bits, stored, fills) => {
        // Around the border of pages 0 and 1, and of 1 and 2 for the far ones.
        const perPage = PER_PAGE[bits]
        const length = perPage * 2 + 100
        const store = stored ? new BytePages() : undefined
        const map = new PagedMap(bits, length, store, new PageCache(1))
        const model = new Uint8Array(length)
        for (const [at, count, value, far] of fills) {
          const from = (far ? perPage * 2 : perPage) - 50 + at
          const to = Math.min(length, from + count)
          const v = Math.min(value, bits === 1 ? 1 : 2)
          const before = model.slice(from, to)
          model.fill(v, from, to)
          expect(map.fill(from, to, v)).toBe(before.some(old => old !== v))
          expect(map.all(from, to, v)).toBe(true)
        }
        for (const map2 of store === undefined ? [map] : [map, new PagedMap(bits, length, store)]) {
          const runs = [...map2.runs(0, length)]
          const painted = new Uint8Array(length)
          for (const run of runs) painted.fill(run.value, run.from, run.to)
          expect(Buffer.compare(painted, model)).toBe(0)
          for (let i = 1; i < runs.length; i++) {
            expect(runs[i]!.from).toBe(runs[i - 1]!.to)
            expect(runs[i]!.value).not.toBe(runs[i - 1]!.value)
          }
          const set = runs.filter(run => run.value !== 0)
          const walked = []
          for (let run = map2.nextRun(0, length); run !== undefined; run = map2.nextRun(run.to, length)) walked.push(run)
          expect(walked).toEqual(set)
          for (let i = perPage - 60; i < perPage + 60; i++) if (map2.get(i) !== model[i]) expect.unreachable(`entry ${i}`)
        }
      },
    ),
    { numRuns: 150 },
  )
})

test('a fill that can not be stored leaves the map as it was', () => {
  const store = new BytePages()
  const map = new PagedMap(1, 100_000, store)
  map.fill(10, 20, 1)
  store.fail = true
  expect(() => map.fill(15, 50_000, 1)).toThrow('no space')
  expect([...map.runs(0, 100_000)].filter(run => run.value === 1)).toEqual([{ from: 10, to: 20, value: 1 }])
})

test('memory holds no more pages than the cache allows, whatever is touched', () => {
  const cache = new PageCache(4)
  const store = new BytePages()
  // 63 TB of 64 KiB granules.
  const map = new PagedMap(1, 961_303_711, store, cache)
  for (let i = 0; i < 1000; i++) map.fill(i * 900_000, i * 900_000 + 3, 1)
  for (let i = 0; i < 1000; i++) expect(map.get(i * 900_000 + 2)).toBe(1)
  expect(cache.size).toBe(4)
  expect(store.pages.size).toBe(1000)
  let count = 0
  for (let run = map.nextRun(0, map.length); run !== undefined; run = map.nextRun(run.to, map.length)) count += run.to - run.from
  expect(count).toBe(3000)
})

test('a page used often stays while others pass through', () => {
  const store = new BytePages()
  const map = new PagedMap(1, 16384 * 100, store, new PageCache(3))
  for (let page = 0; page < 100; page++) map.fill(page * 16384, page * 16384 + 1, 1)
  store.reads = 0
  for (let page = 1; page < 100; page++) {
    map.get(0)
    map.get(page * 16384)
  }
  expect(store.reads).toBeLessThan(110)
})
