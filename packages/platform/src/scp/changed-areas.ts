import { type Extent, GRANULARITY } from '@varve/cbt'
import { PlatformError } from '../errors.ts'

/** One answer of changed-areas, its types checked, its figures not yet. All are bytes. */
export interface AreasPage {
  readonly changed_area: readonly { readonly start: number; readonly length: number }[]
  /** The window that this answer covers. */
  readonly start_offset: number
  readonly length: number
}

/** Disks are read in sectors. */
const SECTOR = 512

/**
 * Judges the answers for one disk, one after the other: nothing may overlap, go backwards, lie outside of its window or pass the end of
 * the disk, and every answer must get further.
 *
 *     disk    |--------------------------------------|
 *     page 1  [ ext  ext ext      )
 *     page 2                      [  ext     ext    )
 */
export class AreasReader {
  readonly #diskSize: number
  readonly #maxPages: number
  #offset = 0
  #pages = 0

  constructor(diskSize: number, maxPages: number) {
    this.#diskSize = diskSize
    this.#maxPages = maxPages
  }

  /** Where the next answer must begin. */
  get offset(): number {
    return this.#offset
  }

  get done(): boolean {
    return this.#offset >= this.#diskSize
  }

  /** The extents of the next answer. @throws PlatformError CBT_ANSWER_INVALID */
  take(page: AreasPage): readonly Extent[] {
    this.#pages += 1
    if (this.#pages > this.#maxPages) throw invalid(`more than ${this.#maxPages} answers for one disk`)
    if (page.start_offset !== this.#offset) throw invalid(`an answer begins at ${page.start_offset}, not at ${this.#offset}`)
    if (page.length <= 0) throw invalid(`an answer at ${this.#offset} covers nothing`)
    const windowEnd = page.start_offset + page.length
    // Granules are whole in the platform's files: the last one may be told whole, too.
    const lastGranuleEnd = Math.ceil(this.#diskSize / GRANULARITY) * GRANULARITY
    if (windowEnd > lastGranuleEnd) throw invalid(`an answer covers up to ${windowEnd}, the disk ends at ${this.#diskSize}`)

    const extents: Extent[] = []
    let end = this.#offset
    for (const { start, length } of page.changed_area) {
      if (length <= 0) throw invalid(`an extent at ${start} has the length ${length}`)
      if (start < end) throw invalid(`an extent at ${start} overlaps or goes back before ${end}`)
      if (start % SECTOR !== 0 || (length % SECTOR !== 0 && start + length !== this.#diskSize))
        throw invalid(`an extent at ${start} is not made of sectors`)
      end = start + length
      if (end > windowEnd) throw invalid(`an extent ends at ${end}, its answer at ${windowEnd}`)
      if (start >= this.#diskSize) throw invalid(`an extent begins at ${start}, the disk ends at ${this.#diskSize}`)
      extents.push({ offset: start, length: Math.min(end, this.#diskSize) - start })
    }
    this.#offset = windowEnd
    return extents
  }
}

function invalid(reason: string): PlatformError {
  return new PlatformError('CBT_ANSWER_INVALID', `changed areas: ${reason}`)
}
