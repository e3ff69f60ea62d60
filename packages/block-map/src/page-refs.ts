import { BlockMapError } from './errors.ts'
import { checkPageRef, HASH_AT, PAGE_REF_LENGTH, type PageRef, readPageRef, writePageRef } from './page-ref.ts'
import { type DiskExtent, touchedPages } from './touched-pages.ts'

/** Part of a disk by its pages; `extents`, ascending, say how much of it. */
export interface PageRange {
  readonly firstPage: number
  readonly pageCount: number
  readonly extents: readonly DiskExtent[]
}

/**
 * References to pages as bytes, 64 each, so that encodings can simply be put one behind the other.
 *
 *     0 pageIndex u32 | 4 storedBlocks u16 | 6 check u16 | 8 mapId 16 B | 24 offset u32 | 28 length u32 | 32 hash 32 B
 *
 * They stay bytes in memory too, 16 MiB for a full disk of 63 TiB at the default block size; as objects they would be five times that.
 */
export class PageRefs implements Iterable<PageRef> {
  static readonly none = new PageRefs(Buffer.alloc(0))
  /** Encoded; not to be written to. */
  readonly bytes: Buffer

  private constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  static from(refs: readonly PageRef[]): PageRefs {
    const bytes = Buffer.alloc(refs.length * PAGE_REF_LENGTH)
    for (const [i, ref] of refs.entries()) writePageRef(bytes, ref, i * PAGE_REF_LENGTH)
    return new PageRefs(bytes)
  }

  /** Of a copy, so that a larger buffer is not kept alive. @throws BlockMapError MAP_CORRUPT */
  static decode(bytes: Uint8Array): PageRefs {
    if (bytes.length % PAGE_REF_LENGTH !== 0) throw new BlockMapError('MAP_CORRUPT', 'the page references are damaged: they are cut')
    return PageRefs.own(Buffer.from(bytes))
  }

  /** The same of whole references without a copy: the bytes are the list's from then on. @throws BlockMapError MAP_CORRUPT */
  static own(bytes: Buffer): PageRefs {
    for (let at = 0; at < bytes.length; at += PAGE_REF_LENGTH) checkPageRef(bytes, at)
    return new PageRefs(bytes)
  }

  /** Some of several lists, put together: `[list, index]` each. */
  static pick(length: number, picks: Iterable<readonly [PageRefs, number]>): PageRefs {
    const bytes = Buffer.alloc(length * PAGE_REF_LENGTH)
    let at = 0
    for (const [{ bytes: from }, i] of picks) at += from.copy(bytes, at, i * PAGE_REF_LENGTH, (i + 1) * PAGE_REF_LENGTH)
    return new PageRefs(bytes.subarray(0, at))
  }

  get length(): number {
    return this.bytes.length / PAGE_REF_LENGTH
  }

  /** Undefined past the end. */
  at(i: number): PageRef | undefined {
    return i >= 0 && i < this.length ? readPageRef(this.bytes, i * PAGE_REF_LENGTH) : undefined
  }

  pageIndexAt(i: number): number {
    return this.bytes.readUInt32LE(i * PAGE_REF_LENGTH)
  }

  storedBlocksAt(i: number): number {
    return this.bytes.readUInt16LE(i * PAGE_REF_LENGTH + 4)
  }

  /** A view. */
  hashAt(i: number): Buffer {
    return this.bytes.subarray(i * PAGE_REF_LENGTH + HASH_AT, (i + 1) * PAGE_REF_LENGTH)
  }

  /** Is the reference the very same, to the same bytes, as one of another list? */
  isSame(i: number, other: PageRefs, j: number): boolean {
    return (
      this.bytes.compare(other.bytes, j * PAGE_REF_LENGTH, (j + 1) * PAGE_REF_LENGTH, i * PAGE_REF_LENGTH, (i + 1) * PAGE_REF_LENGTH) === 0
    )
  }

  /** Of ascending ones: the reference to a page. */
  find(pageIndex: number): PageRef | undefined {
    const ref = this.at(this.#firstFrom(pageIndex))
    return ref?.pageIndex === pageIndex ? ref : undefined
  }

  /** Of ascending ones: those to pages `first` to `first + count - 1`. */
  within(first: number, count: number): PageRef[] {
    const end = this.#firstFrom(first + count)
    const refs: PageRef[] = []
    for (let i = this.#firstFrom(first); i < end; i++) refs.push(readPageRef(this.bytes, i * PAGE_REF_LENGTH))
    return refs
  }

  /** Of ascending ones: those to pages that extents, ascending too, touch. */
  touchedBy(extents: Iterable<DiskExtent>, blockSize: number): PageRef[] {
    const refs: PageRef[] = []
    for (const pageIndex of touchedPages(extents, blockSize)) {
      const ref = this.find(pageIndex)
      if (ref !== undefined) refs.push(ref)
    }
    return refs
  }

  /** Of ascending ones: those to pages that a range covers, which are those that its extents touch, or all of its pages without any. */
  ofRange({ firstPage, pageCount, extents }: PageRange, blockSize: number): PageRef[] {
    // It may reach over much of a disk and touch little of it.
    return extents.length === 0 ? this.within(firstPage, pageCount) : this.touchedBy(extents, blockSize)
  }

  *[Symbol.iterator](): Generator<PageRef, undefined> {
    for (let at = 0; at < this.bytes.length; at += PAGE_REF_LENGTH) yield readPageRef(this.bytes, at)
    return undefined
  }

  /** Where the first page is that is not before `pageIndex`. */
  #firstFrom(pageIndex: number): number {
    let low = 0
    let high = this.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.pageIndexAt(middle) < pageIndex) low = middle + 1
      else high = middle
    }
    return low
  }
}

export function encodePageRefs(refs: readonly PageRef[]): Buffer {
  return PageRefs.from(refs).bytes
}

/** @throws BlockMapError MAP_CORRUPT */
export function decodePageRefs(bytes: Uint8Array): PageRef[] {
  return [...PageRefs.decode(bytes)]
}
