/** Repeatable numbers from a seed (mulberry32). */
export interface Random {
  /** 0 <= x < 1 */
  next(): number
  /** A whole number from 0 to `below` - 1. */
  below(below: number): number
}

export function randomOf(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return { next, below: below => Math.floor(next() * below) }
}
