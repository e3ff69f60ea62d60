import fs from 'node:fs'
import {
  CbtError,
  decodeMapHeader,
  decodeWords,
  encodeMapHeader,
  encodeWords,
  granuleCount,
  MAP_FILE_PAGE,
  type MapFileHeader,
  mapPageOffset,
  PAGES_PER_GROUP,
  type PageCache,
  PagedMap,
  type PageStore,
  summaryOffset,
  WORDS_PER_PAGE,
} from '@varve/cbt'
import { readFullSync, syncFile, writeFullSync } from './file-io.ts'

/**
 * A paged map in a file, write-through: what `map` says is in the file (in the page cache of the machine, hence safe from
 * kill -9) when `fill` returns. Everything is synchronous: a few bytes each, 1-5 µs, and no two changes can interleave.
 */
export class MapFile implements PageStore {
  path: string
  readonly map: PagedMap
  header: MapFileHeader
  readonly #fd: number
  /** Which pages were ever written, by group; loaded when first needed. 2 KiB for 8 or 16 TiB of disk. */
  readonly #summaries = new Map<number, Uint16Array>()
  readonly #page = Buffer.alloc(MAP_FILE_PAGE)
  #dirty = false
  #syncing = 0
  #closed = false

  private constructor(path: string, fd: number, header: MapFileHeader, cache: PageCache) {
    this.path = path
    this.#fd = fd
    this.header = header
    this.map = new PagedMap(header.kind === 'dirty-bitmap' ? 1 : 2, granuleCount(header.diskSize), this, cache)
  }

  /** A new, empty file (an old one of this name is replaced). */
  static create(path: string, header: MapFileHeader, cache: PageCache): MapFile {
    const fd = fs.openSync(path, 'w+', 0o600)
    try {
      writeFullSync(fd, encodeMapHeader(header), 0)
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
    const file = new MapFile(path, fd, header, cache)
    file.#dirty = true
    return file
  }

  /** @throws CbtError MAP_FILE_DAMAGED, CBT_FILE_UNSUPPORTED; system errors (ENOENT). */
  static open(path: string, kind: MapFileHeader['kind'], cache: PageCache): MapFile {
    const fd = fs.openSync(path, 'r+')
    try {
      const bytes = Buffer.alloc(MAP_FILE_PAGE)
      readFullSync(fd, bytes, 0)
      const header = decodeMapHeader(bytes)
      if (header.kind !== kind) throw new CbtError('MAP_FILE_DAMAGED', `not a ${kind}`, { path })
      return new MapFile(path, fd, header, cache)
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
  }

  /** Rename the file; the map goes on. */
  moveTo(path: string): void {
    if (path === this.path) return
    fs.renameSync(this.path, path)
    this.path = path
  }

  rewriteHeader(header: MapFileHeader): void {
    writeFullSync(this.#fd, encodeMapHeader(header), 0)
    this.header = header
    this.#dirty = true
  }

  read(page: number, words: Uint16Array): boolean {
    if (!this.#written(page)) return false
    readFullSync(this.#fd, this.#page, mapPageOffset(page))
    decodeWords(this.#page, words)
    return true
  }

  write(page: number, firstWord: number, words: Uint16Array): void {
    // Summary first: a page that it calls written and that is a hole is harmless, the reverse would hide the page.
    if (!this.#written(page)) this.#setWritten(page)
    const bytes = this.#page.subarray(0, words.length * 4)
    encodeWords(words, bytes)
    writeFullSync(this.#fd, bytes, mapPageOffset(page) + firstWord * 4)
    this.#dirty = true
  }

  /** May the page hold anything? Answers from the summary. */
  hasPage(page: number): boolean {
    return this.#written(page)
  }

  async sync(): Promise<void> {
    if (!this.#dirty) return
    this.#dirty = false
    this.#syncing += 1
    try {
      await syncFile(this.#fd)
    } catch (error) {
      this.#dirty = true
      throw error
    } finally {
      this.#syncing -= 1
      if (this.#closed && this.#syncing === 0) fs.closeSync(this.#fd)
    }
  }

  /** A sync that runs is let finish: its file descriptor must not become another file's meanwhile. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.map.drop()
    if (this.#syncing === 0) fs.closeSync(this.#fd)
  }

  #summary(group: number): Uint16Array {
    let summary = this.#summaries.get(group)
    if (summary === undefined) {
      summary = new Uint16Array(WORDS_PER_PAGE)
      readFullSync(this.#fd, this.#page, summaryOffset(group))
      decodeWords(this.#page, summary)
      this.#summaries.set(group, summary)
    }
    return summary
  }

  #written(page: number): boolean {
    const inGroup = page % PAGES_PER_GROUP
    return ((this.#summary(Math.floor(page / PAGES_PER_GROUP))[inGroup >>> 4]! >>> (inGroup & 15)) & 1) === 1
  }

  #setWritten(page: number): void {
    const group = Math.floor(page / PAGES_PER_GROUP)
    const inGroup = page % PAGES_PER_GROUP
    const summary = this.#summary(group)
    const word = summary[inGroup >>> 4]! | (1 << (inGroup & 15))
    const bytes = Buffer.alloc(4)
    encodeWords(Uint16Array.of(word), bytes)
    writeFullSync(this.#fd, bytes, summaryOffset(group) + (inGroup >>> 4) * 4)
    summary[inGroup >>> 4] = word
  }
}
