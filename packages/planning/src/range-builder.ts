import { blockLength, pageBytes } from '@varve/block-map'
import type { Extent } from '@varve/cbt'
import { PlanningError } from './errors.ts'
import type { DiskGeometry, RangeLimits } from './range-limits.ts'

/** A stretch of pages and the extents in them that one job works on; pages that no extent touches cost nothing. */
export interface PlannedRange {
  /** 0.. within the image. */
  readonly index: number
  readonly firstPage: number
  readonly pageCount: number
  readonly extents: readonly Extent[]
  /** Of the extents. */
  readonly bytes: number
}

/**
 * Turns ascending extents into ranges, holding one range at a time. The limits go by the whole blocks that extents touch, since
 * those are what a job reads, from the disk or from the repository.
 *
 *     pages    |  0  |  1  |  2  |  3  |  4  | ...
 *     extents    [-]   [----]              [-]
 *     ranges   [------ 0 --------]         [ 1 ]      a page no extent touches starts no range and ends none
 */
export class RangeBuilder {
  readonly #geometry: DiskGeometry
  readonly #limits: RangeLimits
  #index = 0
  #end = 0
  /** The range under way, and the page under way that is not part of it yet. */
  #range: OpenRange | undefined
  #page: OpenPage | undefined

  constructor(geometry: DiskGeometry, limits: RangeLimits) {
    this.#geometry = geometry
    this.#limits = limits
  }

  /**
   * The ranges that this extent completes. What lies past the end of the disk is cut off.
   *
   * @throws PlanningError EXTENTS_INVALID when it begins before the last one ended.
   */
  *add({ offset, length }: Extent): Generator<PlannedRange> {
    if (!(length > 0) || offset < this.#end) {
      throw new PlanningError('EXTENTS_INVALID', `extent ${offset}+${length} does not follow ${this.#end}`)
    }
    const end = Math.min(offset + length, this.#geometry.diskSize)
    const perPage = pageBytes(this.#geometry.blockSize)
    for (let at = offset; at < end; ) {
      const pageIndex = Math.floor(at / perPage)
      const stop = Math.min(end, (pageIndex + 1) * perPage)
      if (this.#page?.index !== pageIndex) {
        yield* this.#closePage()
        this.#page = { index: pageIndex, extents: [], bytes: 0, cost: 0, countedBlock: -1 }
      }
      this.#addToPage(this.#page!, at, stop)
      at = stop
    }
    this.#end = Math.max(this.#end, end)
  }

  *finish(): Generator<PlannedRange> {
    yield* this.#closePage()
    if (this.#range !== undefined) yield this.#emit(this.#range)
    this.#range = undefined
  }

  #addToPage(page: OpenPage, offset: number, end: number): void {
    const { diskSize, blockSize } = this.#geometry
    const last = Math.floor((end - 1) / blockSize)
    // Two extents may touch the same block; it is read once.
    const first = Math.max(Math.floor(offset / blockSize), page.countedBlock + 1)
    if (last >= first) page.cost += (last - first) * blockSize + blockLength(diskSize, blockSize, last)
    page.countedBlock = last
    page.bytes += end - offset
    append(page.extents, offset, end)
  }

  *#closePage(): Generator<PlannedRange> {
    const page = this.#page
    if (page === undefined) return
    this.#page = undefined
    if (page.extents.length > this.#limits.maxExtents) this.#widen(page)
    if (this.#range !== undefined && !this.#fits(this.#range, page)) {
      yield this.#emit(this.#range)
      this.#range = undefined
    }
    this.#range ??= { firstPage: page.index, lastPage: page.index, pages: 0, extents: [], bytes: 0, cost: 0 }
    this.#range.lastPage = page.index
    this.#range.pages += 1
    this.#range.bytes += page.bytes
    this.#range.cost += page.cost
    for (const { offset, length } of page.extents) append(this.#range.extents, offset, offset + length)
  }

  /** A page of large blocks may be too finely cut for one range; in whole blocks it has 512 extents at most, and costs what a backup reads anyway. */
  #widen(page: OpenPage): void {
    const { diskSize, blockSize } = this.#geometry
    const wide: OpenPage['extents'] = []
    let next = 0
    for (const { offset, length } of page.extents) {
      const first = Math.max(Math.floor(offset / blockSize), next)
      next = Math.floor((offset + length - 1) / blockSize) + 1
      if (first < next) append(wide, first * blockSize, Math.min(next * blockSize, diskSize))
    }
    page.extents = wide
    page.bytes = wide.reduce((sum, { length }) => sum + length, 0)
  }

  #fits(range: OpenRange, page: OpenPage): boolean {
    const { maxPages, maxBytes, maxExtents } = this.#limits
    return range.pages < maxPages && range.cost + page.cost <= maxBytes && range.extents.length + page.extents.length <= maxExtents
  }

  #emit({ firstPage, lastPage, extents, bytes }: OpenRange): PlannedRange {
    return { index: this.#index++, firstPage, pageCount: lastPage - firstPage + 1, extents, bytes }
  }
}

interface OpenRange {
  readonly firstPage: number
  lastPage: number
  /** That extents touch. */
  pages: number
  readonly extents: { offset: number; length: number }[]
  bytes: number
  cost: number
}

interface OpenPage {
  readonly index: number
  extents: { offset: number; length: number }[]
  bytes: number
  cost: number
  countedBlock: number
}

/** Add at the end, joined to the last extent where they touch. */
function append(extents: { offset: number; length: number }[], offset: number, end: number): void {
  const last = extents.at(-1)
  if (last !== undefined && last.offset + last.length === offset) last.length = end - last.offset
  else extents.push({ offset, length: end - offset })
}
