import { readVersion, VERSIONS_PER_PAGE } from './cbt-file.ts'
import type { Extent } from './extent.ts'
import { GRANULARITY } from './granule.ts'

/**
 * Collects changed granules, in order, as merged byte extents up to a number of them, cut to a window of the disk.
 *
 *     granules   0 1 1 0 1        tail clamped to the disk size
 *     extents      [---)  [-
 */
export class AreaCollector {
  readonly #start: number
  readonly #diskSize: number
  readonly #limit: number
  readonly #areas: { offset: number; length: number }[] = []
  /** Where the answer ends because the next extent would be one too many. */
  #fullAt: number | undefined

  /** `start` and `diskSize` are bytes; `limit` is the largest number of extents, at least 1. */
  constructor(start: number, diskSize: number, limit: number) {
    this.#start = start
    this.#diskSize = diskSize
    this.#limit = Math.max(1, limit)
  }

  get full(): boolean {
    return this.#fullAt !== undefined
  }

  /** End the answer here, because enough was looked at: what lies at or after `offset` is for the next one. */
  stop(offset: number): void {
    this.#fullAt ??= Math.max(this.#start, offset)
  }

  /** Add granules `from <= index < to`; they come in ascending order. */
  add(from: number, to: number): void {
    if (this.#fullAt !== undefined) return
    const offset = Math.max(this.#start, from * GRANULARITY)
    const end = Math.min(this.#diskSize, to * GRANULARITY)
    if (end <= offset) return
    const last = this.#areas.at(-1)
    if (last !== undefined && last.offset + last.length === offset) last.length = end - last.offset
    else if (this.#areas.length < this.#limit) this.#areas.push({ offset, length: end - offset })
    else this.#fullAt = offset
  }

  /** Add the granules of one CBT page that are newer than `since`. `first` is the index of its first granule. */
  addPage(page: DataView, first: number, since: number): void {
    let from = -1
    for (let i = 0; i < VERSIONS_PER_PAGE; i++) {
      const changed = readVersion(page, i) > since
      if (changed && from < 0) from = i
      if (!changed && from >= 0) {
        this.add(first + from, first + i)
        from = -1
        if (this.full) return
      }
    }
    if (from >= 0) this.add(first + from, first + VERSIONS_PER_PAGE)
  }

  /** The extents, and the bytes of disk from `start` on that they answer for. */
  result(): { readonly areas: readonly Extent[]; readonly length: number } {
    return { areas: this.#areas, length: Math.max(0, Math.min(this.#fullAt ?? this.#diskSize, this.#diskSize) - this.#start) }
  }
}
