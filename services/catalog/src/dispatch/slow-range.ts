/** A range that somebody works on and that may be given to another as well. */
export interface RangeUnderWay {
  readonly runningMs: number
  /** Middle of what the run's last ranges took; null: none is done. */
  readonly usualMs: number | null
}

/** So many times what is usual is slow. */
const TIMES_USUAL = 3

/**
 * Is it worth a second try by somebody else? Never below `leastMs`, which copying twice should not cost. As long as nothing is done there is nothing to
 * compare with, and all of the run may be slow; then only after so many times longer.
 */
export function isSlow({ runningMs, usualMs }: RangeUnderWay, leastMs: number): boolean {
  if (usualMs === null) return runningMs > TIMES_USUAL * leastMs
  return runningMs > Math.max(leastMs, TIMES_USUAL * usualMs)
}
