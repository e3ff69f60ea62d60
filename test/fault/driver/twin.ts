import { noise } from '../../support/pattern.ts'

export const GRANULE = 64 * 1024

/** What a disk holds: granule -> the seed of its bytes; all other granules are zero. */
export type Truth = ReadonlyMap<number, string>

/** Recorded truth of a disk that is written granule by granule. */
export class Twin {
  readonly size: number
  readonly #granules: Map<number, string>

  constructor(size: number, granules: Truth = new Map()) {
    this.size = size
    this.#granules = new Map(granules)
  }

  set(granule: number, seed: string): void {
    this.#granules.set(granule, seed)
  }

  /** As it is now, and stays. */
  now(): Truth {
    return new Map(this.#granules)
  }
}

export function granuleBytes(seed: string): Buffer {
  return noise(seed, GRANULE)
}

const ZERO = Buffer.alloc(GRANULE)

/** First offset in `bytes` (at `offset` of the disk, both whole granules) at which it is not as recorded; null when it is. */
export function firstWrong(truth: Truth, offset: number, bytes: Uint8Array): number | null {
  for (let at = 0; at < bytes.length; at += GRANULE) {
    const seed = truth.get((offset + at) / GRANULE)
    const wanted = seed === undefined ? ZERO : granuleBytes(seed)
    const length = Math.min(GRANULE, bytes.length - at)
    if (wanted.compare(bytes, at, at + length, 0, length) !== 0) return offset + at
  }
  return null
}

/** First offset of a recorded granule in a stretch of the disk (whole granules); null when nothing was written there. */
export function firstRecorded(truth: Truth, offset: number, length: number): number | null {
  for (let at = offset; at < offset + length; at += GRANULE) if (truth.has(at / GRANULE)) return at
  return null
}
