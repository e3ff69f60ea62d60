import fs from 'node:fs'
import { crc32 } from 'node:zlib'
import {
  AreaCollector,
  CBT_HEADER_SIZE,
  CBT_PAGE_SIZE,
  CbtError,
  type CbtHeader,
  cbtFileSize,
  cbtPageOffset,
  cbtTableSize,
  DATA_CRC_NOT_SET,
  decodeCbtHeader,
  encodeCbtHeader,
  entryOf,
  GRANULARITY,
  granuleCount,
  type PageEntry,
  pageMatches,
  raiseVersions,
  readPageEntry,
  TABLE_ENTRY_SIZE,
  VERSIONS_PER_PAGE,
  writePageEntry,
} from '@varve/cbt'
import { readFull, readFullSync, syncFile, writeFull, writeFullSync } from './file-io.ts'
import type { MapFile } from './map-file.ts'
import type { Step } from './step.ts'

/** Pages looked at for one answer: 64 MiB of CBT file, 1 TiB of disk. */
const PAGES_PER_ANSWER = 4096

/** Pages read or written together, 1 MiB: each by itself waits for its own trip through the thread pool (40 µs and more). */
const PAGES_AT_ONCE = 64

/** Granules `from <= index < to`. */
export interface GranuleRun {
  readonly from: number
  readonly to: number
}

/**
 * The CBT file of one disk. Its page table (8 bytes for 256 MiB of disk, 1.9 MB for 63 TB) is read whole for a fold or an
 * answer and not kept; of its pages at most 64 at a time.
 */
export class CbtStore {
  path: string
  header: CbtHeader
  readonly #fd: number

  private constructor(path: string, fd: number, header: CbtHeader) {
    this.path = path
    this.#fd = fd
    this.header = header
  }

  /** A new file in which the granules of `allocated` (ascending) have the version `header.baseInc`. Durable when resolved. */
  static async build(path: string, header: Omit<CbtHeader, 'dataCrc'>, allocated: Iterable<GranuleRun>): Promise<CbtStore> {
    const fd = fs.openSync(path, 'w+', 0o600)
    const store = new CbtStore(path, fd, { ...header, dataCrc: DATA_CRC_NOT_SET })
    try {
      fs.ftruncateSync(fd, cbtFileSize(header.diskSize))
      const table = Buffer.alloc(cbtTableSize(header.diskSize))
      const page = Buffer.alloc(CBT_PAGE_SIZE)
      for (const { index, runs } of byPage(allocated)) {
        page.fill(0)
        applyRuns(page, runs, header.baseInc)
        writePageEntry(table, index * TABLE_ENTRY_SIZE, entryOf(page))
        await writeFull(fd, page, store.#pageOffset(index))
      }
      await writeFull(fd, table, CBT_HEADER_SIZE)
      store.#writeHeader({ ...header, dataCrc: crc32(table) })
      await syncFile(fd)
      return store
    } catch (error) {
      store.close()
      fs.rmSync(path, { force: true })
      throw error
    }
  }

  /** @throws CbtError CBT_FILE_DAMAGED, CBT_FILE_UNSUPPORTED; system errors (ENOENT). */
  static open(path: string): CbtStore {
    const fd = fs.openSync(path, 'r+')
    try {
      const bytes = Buffer.alloc(CBT_HEADER_SIZE)
      readFullSync(fd, bytes, 0)
      return new CbtStore(path, fd, decodeCbtHeader(bytes))
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
  }

  /**
   * Take the bits of a bitmap into the pages under the version `bitmap.header.targetInc`. Repeatable: killed at any point,
   * the next call finishes it.
   *
   *     header: folding = t, data_crc not set          from here on a fold is open
   *     64 pages with bits: their entries, then they   of each: either both are old, or the page raised to t has the entry's CRC
   *     header: inc_id = t, folding = 0, data_crc      done
   *
   * @throws CbtError CBT_FILE_DAMAGED, MAP_FILE_DAMAGED; DatastoreError DATASTORE_FULL (then call again).
   */
  async fold(bitmap: MapFile, step: Step): Promise<void> {
    const target = bitmap.header.targetInc
    this.header = this.#readHeader()
    if (this.header.incId === target) return
    if (this.header.incId !== target - 1) throw this.#damaged('the bitmap belongs to another interval')
    const redo = this.header.folding === target
    const table = await this.#readTable(!redo)
    if (redo) await this.#checkPages(table, bitmap)
    else this.#writeHeader({ ...this.header, folding: target, dataCrc: DATA_CRC_NOT_SET })
    step('fold-opened')
    const memory = Buffer.allocUnsafeSlow(PAGES_AT_ONCE * CBT_PAGE_SIZE)
    for (const batch of inBatches(byPage(setRuns(bitmap, granuleCount(this.header.diskSize))), { first: PAGES_AT_ONCE })) {
      const indexes = batch.map(({ index }) => index)
      const pages = await this.#readPages(indexes, memory)
      for (const [i, { index, runs }] of batch.entries()) {
        const page = pages[i]!
        const before = readPageEntry(table, index * TABLE_ENTRY_SIZE)
        const sound = isSound(page, before)
        applyRuns(page, runs, target)
        const after = entryOf(page)
        if (!sound && !(redo && sameEntry(before, after))) throw this.#damaged('a page has a wrong checksum')
        writePageEntry(table, index * TABLE_ENTRY_SIZE, after)
      }
      const [first, end] = [indexes[0]! * TABLE_ENTRY_SIZE, (indexes.at(-1)! + 1) * TABLE_ENTRY_SIZE]
      await writeFull(this.#fd, table.subarray(first, end), CBT_HEADER_SIZE + first)
      step('fold-entry')
      await allEnded(
        indexes.map(async (index, i) => {
          await writeFull(this.#fd, pages[i]!, this.#pageOffset(index))
          step('fold-page')
        }),
      )
    }
    await syncFile(this.#fd)
    this.#writeHeader({ ...this.header, incId: target, folding: 0, dataCrc: crc32(table) })
    step('fold-closed')
    await syncFile(this.#fd)
  }

  /**
   * Granules whose version is newer than `since`, from `startOffset` on. Every byte the answer rests on is checked.
   *
   * @throws CbtError CBT_FILE_DAMAGED
   */
  async changed(since: number, startOffset: number, maxAreas: number): Promise<ReturnType<AreaCollector['result']>> {
    const { diskSize } = this.header
    const table = await this.#readTable(true)
    const areas = new AreaCollector(startOffset, diskSize, maxAreas)
    const memory = Buffer.allocUnsafeSlow(PAGES_AT_ONCE * CBT_PAGE_SIZE)
    const first = Math.floor(startOffset / GRANULARITY / VERSIONS_PER_PAGE)
    let looked = 0
    for (const indexes of inBatches(newerPages(table, first, since), { first: 2 })) {
      const pages = await this.#readPages(indexes, memory)
      for (const [i, index] of indexes.entries()) {
        if (areas.full) return areas.result()
        if (++looked > PAGES_PER_ANSWER) {
          areas.stop(index * VERSIONS_PER_PAGE * GRANULARITY)
          return areas.result()
        }
        const page = pages[i]!
        if (!pageMatches(page, readPageEntry(table, index * TABLE_ENTRY_SIZE))) throw this.#damaged('a page has a wrong checksum')
        areas.addPage(new DataView(page.buffer, page.byteOffset, page.byteLength), index * VERSIONS_PER_PAGE, since)
      }
    }
    return areas.result()
  }

  /** Rename the file; the store goes on. */
  moveTo(path: string): void {
    fs.renameSync(this.path, path)
    this.path = path
  }

  /** The header as it is in the file now. @throws CbtError CBT_FILE_DAMAGED */
  refresh(): CbtHeader {
    this.header = this.#readHeader()
    return this.header
  }

  /** Note in the file that its answers are of no use any more. Needs no space; damage is not made worse. */
  expire(): void {
    this.#writeHeader({ ...this.header, expired: true })
  }

  async sync(): Promise<void> {
    await syncFile(this.#fd)
  }

  close(): void {
    fs.closeSync(this.#fd)
  }

  /** Before a fold is finished that another process began: are the pages outside it what the table says? */
  async #checkPages(table: Buffer, bitmap: MapFile): Promise<void> {
    const page = Buffer.alloc(CBT_PAGE_SIZE)
    const count = granuleCount(this.header.diskSize)
    for (let index = 0; index * TABLE_ENTRY_SIZE < table.length; index++) {
      const entry = readPageEntry(table, index * TABLE_ENTRY_SIZE)
      if (entry.crc === 0 && entry.maxVersion === 0) continue
      const first = index * VERSIONS_PER_PAGE
      if (bitmap.map.nextRun(first, Math.min(count, first + VERSIONS_PER_PAGE)) !== undefined) continue
      await readFull(this.#fd, page, this.#pageOffset(index))
      if (!isSound(page, entry)) throw this.#damaged('a page has a wrong checksum')
    }
  }

  async #readTable(check: boolean): Promise<Buffer> {
    const table = Buffer.alloc(cbtTableSize(this.header.diskSize))
    await readFull(this.#fd, table, CBT_HEADER_SIZE)
    if (check && crc32(table) !== this.header.dataCrc) throw this.#damaged('the page table has a wrong checksum')
    return table
  }

  /** Into `memory`, which has room for them. */
  async #readPages(indexes: readonly number[], memory: Buffer): Promise<Buffer[]> {
    const pages = indexes.map((_, i) => memory.subarray(i * CBT_PAGE_SIZE, (i + 1) * CBT_PAGE_SIZE))
    await allEnded(indexes.map((index, i) => readFull(this.#fd, pages[i]!, this.#pageOffset(index))))
    return pages
  }

  #readHeader(): CbtHeader {
    const bytes = Buffer.alloc(CBT_HEADER_SIZE)
    readFullSync(this.#fd, bytes, 0)
    return decodeCbtHeader(bytes)
  }

  #writeHeader(header: CbtHeader): void {
    writeFullSync(this.#fd, encodeCbtHeader(header), 0)
    this.header = header
  }

  #pageOffset(index: number): number {
    return cbtPageOffset(this.header.diskSize, index)
  }

  #damaged(why: string): CbtError {
    return new CbtError('CBT_FILE_DAMAGED', `CBT file: ${why}`, { path: this.path })
  }
}

const NO_VERSIONS = Buffer.alloc(CBT_PAGE_SIZE)

/** Wait for all, also when one fails: nothing is read or written any more when this is over. */
async function allEnded(promises: readonly Promise<void>[]): Promise<void> {
  for (const ended of await Promise.allSettled(promises)) if (ended.status === 'rejected') throw ended.reason
}

/** Each twice as long as the one before, up to PAGES_AT_ONCE: two pages may fill an answer. */
function* inBatches<T>(items: Iterable<T>, { first }: { readonly first: number }): Generator<T[]> {
  let size = first
  let batch: T[] = []
  for (const item of items) {
    if (batch.push(item) < size) continue
    yield batch
    batch = []
    size = Math.min(PAGES_AT_ONCE, size * 2)
  }
  if (batch.length > 0) yield batch
}

/** Indexes of pages from `first` on in which a version is newer than `since`. */
function* newerPages(table: Buffer, first: number, since: number): Generator<number> {
  for (let index = first; index * TABLE_ENTRY_SIZE < table.length; index++) {
    if (readPageEntry(table, index * TABLE_ENTRY_SIZE).maxVersion > since) yield index
  }
}

function isSound(page: Uint8Array, entry: PageEntry): boolean {
  if (entry.crc === 0 && entry.maxVersion === 0) return NO_VERSIONS.equals(page)
  return sameEntry(entry, entryOf(page))
}

function sameEntry(a: PageEntry, b: PageEntry): boolean {
  return a.crc === b.crc && a.maxVersion === b.maxVersion
}

function applyRuns(page: Buffer, runs: readonly GranuleRun[], version: number): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  for (const run of runs) raiseVersions(view, run.from, run.to, version)
}

/** The set granules of a bitmap, in order. */
function* setRuns(bitmap: MapFile, count: number): Generator<GranuleRun> {
  for (let at = 0; ; ) {
    const run = bitmap.map.nextRun(at, count)
    if (run === undefined) return
    yield run
    at = run.to
  }
}

/** Ascending runs cut at the borders of CBT pages and grouped by page; granules count from the page's start. */
function* byPage(runs: Iterable<GranuleRun>): Generator<{ index: number; runs: GranuleRun[] }> {
  let group: { index: number; runs: GranuleRun[] } | undefined
  for (const run of runs) {
    for (let from = run.from; from < run.to; ) {
      const index = Math.floor(from / VERSIONS_PER_PAGE)
      const start = index * VERSIONS_PER_PAGE
      const to = Math.min(run.to, start + VERSIONS_PER_PAGE)
      if (group !== undefined && group.index !== index) {
        yield group
        group = undefined
      }
      group ??= { index, runs: [] }
      group.runs.push({ from: from - start, to: to - start })
      from = to
    }
  }
  if (group !== undefined) yield group
}
