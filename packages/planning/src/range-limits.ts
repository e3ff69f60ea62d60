const MiB = 1024 * 1024

/** What one range may hold. A page is never split, so a single page may exceed `maxBytes` where blocks are larger than 256 KiB. */
export interface RangeLimits {
  /**
   * Pages that the range touches: 256 are 11 MiB of block map in the memory of a worker. What lies between them does not count, so that
   * a few changes all over a large disk are a few ranges, not thousands of tiny objects.
   */
  readonly maxPages: number
  /** Of whole blocks to read. Some seconds of work: short enough to repeat, long enough for whole packs. */
  readonly maxBytes: number
  /** Keeps one range's row and message below ~200 kB. A page of blocks above 1 MiB that has more is planned in whole blocks. */
  readonly maxExtents: number
}

export const DEFAULT_LIMITS: RangeLimits = { maxPages: 256, maxBytes: 256 * MiB, maxExtents: 4096 }

export interface DiskGeometry {
  readonly diskSize: number
  readonly blockSize: number
}
