import { type CachedPage, PageCache } from './page-cache.ts'

/** 16-bit words in a page. A page is 2 KiB in memory and 4 KiB in a file (see map-file.ts). */
export const WORDS_PER_PAGE = 1024

/** Where the pages of a map live. Synchronous, so that a change of a map can't interleave with another one. */
export interface PageStore {
  /** Fill `words` with a page; false when the page was never written (all zero). */
  read(page: number, words: Uint16Array): boolean
  /** Store some words of a page. When it throws, the map stays as it was. */
  write(page: number, firstWord: number, words: Uint16Array): void
}

/** Consecutive entries with one value: `from <= index < to`. */
export interface Run {
  readonly from: number
  readonly to: number
  readonly value: number
}

/**
 * A long array of 1-bit or 2-bit values, mostly zero, in pages: no memory for pages never written, a bounded number of the
 * others in memory when there is a store to read them from again.
 *
 * With 1 bit it is the dirty bitmap, with 2 bits the grain map of a layer.
 */
export class PagedMap {
  readonly length: number
  readonly bits: 1 | 2
  readonly entriesPerPage: number
  readonly #wordShift: number
  readonly #pageShift: number
  readonly #entryMask: number
  readonly #valueMask: number
  readonly #store: PageStore | undefined
  readonly #cache: PageCache
  readonly #pages = new Map<number, CachedPage>()
  readonly #scratch = new Uint16Array(WORDS_PER_PAGE)
  #last: CachedPage | undefined

  /** Without a store all pages stay in memory. `length` is at most 2^31 entries. */
  constructor(bits: 1 | 2, length: number, store?: PageStore, cache: PageCache = new PageCache()) {
    this.bits = bits
    this.length = length
    this.#wordShift = bits === 1 ? 4 : 3
    this.#pageShift = this.#wordShift + 10
    this.entriesPerPage = 1 << this.#pageShift
    this.#entryMask = (1 << this.#wordShift) - 1
    this.#valueMask = bits === 1 ? 1 : 3
    this.#store = store
    this.#cache = cache
  }

  get(index: number): number {
    const words = this.#read(index >>> this.#pageShift)
    if (words === undefined) return 0
    return (words[(index >>> this.#wordShift) & (WORDS_PER_PAGE - 1)]! >>> ((index & this.#entryMask) * this.bits)) & this.#valueMask
  }

  /** Do all entries of `from <= index < to` have this value? */
  all(from: number, to: number, value: number): boolean {
    for (let index = from; index < to; index++) if (this.get(index) !== value) return false
    return true
  }

  /** Give every entry of `from <= index < to` the value, storing only words that change. True when any did. */
  fill(from: number, to: number, value: number): boolean {
    let changed = false
    const perPage = this.entriesPerPage
    for (let index = from; index < to; ) {
      const page = index >>> this.#pageShift
      const end = Math.min(to, (page + 1) * perPage)
      if (this.#fillPage(page, index - page * perPage, end - page * perPage, value)) changed = true
      index = end
    }
    return changed
  }

  /** All runs of `from <= index < to` in order, those of value 0 too; neighbours differ in value. Sees changes made meanwhile. */
  *runs(from: number, to: number): Generator<Run> {
    let start = from
    while (start < to) {
      const value = this.get(start)
      const end = this.#runEnd(start, to, value)
      yield { from: start, to: end, value }
      start = end
    }
  }

  /** The first run of a value other than 0 at or after `from`, cut at `limit`. */
  nextRun(from: number, limit: number): Run | undefined {
    let start = from
    if (start < limit && this.get(start) === 0) start = this.#runEnd(start, limit, 0)
    if (start >= limit) return undefined
    const value = this.get(start)
    return { from: start, to: this.#runEnd(start, limit, value), value }
  }

  /** Forget the pages in memory. */
  drop(): void {
    this.#pages.clear()
    this.#last = undefined
  }

  /** Where the run of `value` that covers `start` ends. */
  #runEnd(start: number, limit: number, value: number): number {
    const perWord = this.#entryMask + 1
    const pattern = this.#pattern(value)
    let index = start
    while (index < limit) {
      const words = this.#read(index >>> this.#pageShift)
      if (words === undefined) {
        if (value !== 0) return index
        index = ((index >>> this.#pageShift) + 1) * this.entriesPerPage
        continue
      }
      const word = words[(index >>> this.#wordShift) & (WORDS_PER_PAGE - 1)]!
      if ((index & this.#entryMask) === 0 && word === pattern) {
        index += perWord
        continue
      }
      if (((word >>> ((index & this.#entryMask) * this.bits)) & this.#valueMask) !== value) return index
      index += 1
    }
    return Math.min(index, limit)
  }

  #pattern(value: number): number {
    return this.bits === 1 ? value * 0xffff : value * 0x5555
  }

  #read(page: number): Uint16Array | undefined {
    const last = this.#last
    if (last !== undefined && last.index === page) {
      last.used = true
      return last.words
    }
    const cached = this.#pages.get(page)
    if (cached !== undefined) {
      cached.used = true
      this.#last = cached
      return cached.words
    }
    if (this.#store === undefined) return undefined
    if (!this.#store.read(page, this.#scratch)) return undefined
    return this.#keep(page, this.#scratch.slice()).words
  }

  #keep(index: number, words: Uint16Array): CachedPage {
    const page: CachedPage = { index, words, used: true }
    if (this.#store === undefined) this.#pages.set(index, page)
    else this.#cache.add(page, this.#pages)
    this.#last = page
    return page
  }

  #fillPage(page: number, from: number, to: number, value: number): boolean {
    const words = this.#read(page)
    if (words === undefined && value === 0) return false
    const pattern = this.#pattern(value)
    const firstWord = from >>> this.#wordShift
    const lastWord = (to - 1) >>> this.#wordShift
    const scratch = this.#scratch
    let firstChanged = -1
    let lastChanged = -1
    for (let w = firstWord; w <= lastWord; w++) {
      const old = words === undefined ? 0 : words[w]!
      let mask = 0xffff
      if (w === firstWord) mask &= (0xffff << ((from & this.#entryMask) * this.bits)) & 0xffff
      if (w === lastWord) mask &= 0xffff >>> ((this.#entryMask - ((to - 1) & this.#entryMask)) * this.bits)
      const next = (old & ~mask & 0xffff) | (pattern & mask)
      scratch[w] = next
      if (next !== old) {
        if (firstChanged < 0) firstChanged = w
        lastChanged = w
      }
    }
    if (firstChanged < 0) return false
    const change = scratch.slice(firstChanged, lastChanged + 1)
    this.#store?.write(page, firstChanged, change)
    const target = words ?? this.#keep(page, new Uint16Array(WORDS_PER_PAGE)).words
    target.set(change, firstChanged)
    return true
  }
}
