import { RANGE_TIMES, type RangeResult } from '@varve/catalog-client'
import type { Metrics } from '@varve/runtime'

/** What becomes of a range that was taken up: reported first, reported after somebody else, handed back at a stop, failed. */
export type RangeOutcome = 'done' | 'late' | 'handed-back' | 'failed'

/** Ranges take from milliseconds to minutes. */
const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]

type RangeJobName = 'read-range' | 'write-range'

/** Which way the bytes of a result went: a backup reads the disk and fills the store, a restore the other way round. */
const WAYS = {
  'read-range': { read: { via: 'nbd', direction: 'in' }, written: { via: 'store', direction: 'out' } },
  'write-range': { read: { via: 'store', direction: 'in' }, written: { via: 'nbd', direction: 'out' } },
} as const

/** Counts of one kind of range job: how many, how many bytes over which way, where the time went. */
export class RangeMetrics {
  readonly #job: RangeJobName
  readonly #ranges
  readonly #seconds
  readonly #bytes
  readonly #skipped
  readonly #waited

  constructor(metrics: Metrics, job: RangeJobName) {
    this.#job = job
    this.#ranges = metrics.counter('varve_ranges_total', 'Ranges taken up, by what became of them.', ['job', 'outcome'])
    this.#seconds = metrics.histogram('varve_range_seconds', 'Seconds from taking a range up to its report.', ['job'], SECONDS)
    this.#bytes = metrics.counter('varve_transfer_bytes_total', 'Bytes of ranges done, over NBD and to or from the store.', [
      'job',
      'via',
      'direction',
    ])
    this.#skipped = metrics.counter('varve_skipped_bytes_total', 'Bytes that did not have to be stored or sent.', ['job', 'why'])
    this.#waited = metrics.counter('varve_range_time_seconds_total', 'Seconds of ranges done, by what they waited for.', ['job', 'for'])
  }

  done({ read, written, unchanged, zero, time }: RangeResult, ms: number, accepted: boolean): void {
    const job = this.#job
    this.ended(accepted ? 'done' : 'late')
    this.#seconds.observe({ job }, ms / 1000)
    this.#bytes.inc({ job, ...WAYS[job].read }, read)
    this.#bytes.inc({ job, ...WAYS[job].written }, written)
    this.#skipped.inc({ job, why: 'unchanged' }, unchanged)
    this.#skipped.inc({ job, why: 'zero' }, zero)
    for (const what of RANGE_TIMES) this.#waited.inc({ job, for: what }, time[what] / 1000)
  }

  ended(outcome: RangeOutcome): void {
    this.#ranges.inc({ job: this.#job, outcome })
  }
}
