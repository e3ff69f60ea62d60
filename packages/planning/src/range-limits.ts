const MiB = 1024 * 1024

/** What one range may hold. A page is never split, so a single page may exceed `maxBytes` where blocks are larger than 256 KiB. */
export interface RangeLimits {
  /** 256 pages are 64 GiB of disk and 11 MiB of block map in the memory of a worker. */
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
