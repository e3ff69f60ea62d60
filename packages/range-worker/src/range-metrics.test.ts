import type { RangeResult } from '@varve/catalog-client'
import { Metrics } from '@varve/runtime'
import { expect, test } from 'vitest'
import { RangeMetrics } from './range-metrics.ts'

const RESULT: RangeResult = {
  read: 1000,
  written: 300,
  unchanged: 200,
  zero: 500,
  pages: '',
  objects: [],
  damage: [],
  time: { source: 1500, throttle: 750, cpu: 250, store: 500 },
}

test('a backup fills the store from NBD, a restore the other way round; both in one process', async () => {
  const metrics = new Metrics()
  new RangeMetrics(metrics, 'read-range').done(RESULT, 2000, true)
  const writing = new RangeMetrics(metrics, 'write-range')
  writing.done(RESULT, 2000, false)
  writing.ended('handed-back')
  const text = await metrics.text()
  for (const line of [
    'varve_ranges_total{job="read-range",outcome="done"} 1',
    'varve_ranges_total{job="write-range",outcome="late"} 1',
    'varve_ranges_total{job="write-range",outcome="handed-back"} 1',
    'varve_transfer_bytes_total{job="read-range",via="nbd",direction="in"} 1000',
    'varve_transfer_bytes_total{job="read-range",via="store",direction="out"} 300',
    'varve_transfer_bytes_total{job="write-range",via="store",direction="in"} 1000',
    'varve_transfer_bytes_total{job="write-range",via="nbd",direction="out"} 300',
    'varve_skipped_bytes_total{job="read-range",why="unchanged"} 200',
    'varve_range_time_seconds_total{job="read-range",for="source"} 1.5',
    'varve_range_seconds_count{job="read-range"} 1',
  ])
    expect(text).toContain(line)
})
