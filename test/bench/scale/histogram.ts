/** Times in ms, in buckets that are 2 % wide: small enough to send between processes, exact enough for percentiles. */
export class Histogram {
  readonly #buckets = new Map<number, number>()
  count = 0
  max = 0

  add(ms: number): void {
    const bucket = Math.round(Math.log(Math.max(ms, 0.001)) / WIDTH)
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1)
    this.count += 1
    this.max = Math.max(this.max, ms)
  }

  /** The time that this share of all (0..1) did not exceed. */
  at(share: number): number {
    let left = Math.ceil(this.count * share)
    for (const [bucket, count] of [...this.#buckets].sort(([a], [b]) => a - b)) {
      left -= count
      if (left <= 0) return Math.min(Math.exp(bucket * WIDTH), this.max)
    }
    return this.max
  }

  merge(other: HistogramData): void {
    for (const [bucket, count] of other.buckets) this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + count)
    this.count += other.count
    this.max = Math.max(this.max, other.max)
  }

  data(): HistogramData {
    return { buckets: [...this.#buckets], count: this.count, max: this.max }
  }
}

export interface HistogramData {
  readonly buckets: readonly (readonly [number, number])[]
  readonly count: number
  readonly max: number
}

const WIDTH = Math.log(1.02)
