/** Jain's index of what equals got: 1 when all got the same, 1/n when one got everything. */
export function jainIndex(shares: readonly number[]): number {
  const sum = shares.reduce((all, share) => all + share, 0)
  const squares = shares.reduce((all, share) => all + share * share, 0)
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares)
}

/** A run as the simulation saw it, ms. */
export interface RunTimes {
  readonly vm: number
  readonly plannedAt: number
  /** When each of its ranges was done, ascending. */
  readonly served: readonly number[]
  readonly ranges: number
}

/**
 * Mean of Jain's index over windows of time, among the runs that had ranges left through the whole window. Windows with fewer than two of them say nothing.
 */
export function fairnessOver(runs: readonly RunTimes[], windowMs: number): number | null {
  const begin = Math.min(...runs.map(run => run.plannedAt))
  const end = Math.max(...runs.map(run => run.served.at(-1) ?? run.plannedAt))
  const indexes: number[] = []
  for (let from = begin; from + windowMs <= end; from += windowMs) {
    const to = from + windowMs
    const busy = runs.filter(run => run.plannedAt <= from && run.served.length === run.ranges && run.served.at(-1)! >= to)
    if (busy.length < 2) continue
    indexes.push(jainIndex(busy.map(run => run.served.filter(at => at >= from && at < to).length)))
  }
  return indexes.length === 0 ? null : indexes.reduce((sum, index) => sum + index, 0) / indexes.length
}
