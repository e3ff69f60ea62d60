import { expect, test } from 'vitest'
import { afterReport, pressureAt, type StoredPressure } from './pressure.ts'

const at = (seconds: number): string => new Date(1_800_000_000_000 + seconds * 1000).toISOString()
const NONE: StoredPressure = { pressure: 0, pressure_at: null, pressure_reason: null }

/** The level after reports at these seconds, seen at `seen`. */
function levelAfter(reports: readonly number[], seen: number): number {
  let stored = NONE
  for (const second of reports) {
    const level = afterReport(stored, at(second))
    if (level !== null) stored = { pressure: level, pressure_at: at(second), pressure_reason: 'throttled' }
  }
  return pressureAt(stored, at(seen)).level
}

test.each<[what: string, reports: number[], seen: number, level: number]>([
  ['no report, no pressure', [], 0, 0],
  ['one report is one level', [0], 0, 1],
  ['reports within five seconds are one', [0, 1, 2, 3, 4.999], 5, 1],
  ['five seconds later it counts', [0, 5], 5, 2],
  ['reports every second count every five seconds', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10, 3],
  ['it ends at six', [0, 5, 10, 15, 20, 25, 30, 35], 35, 6],
  ['nothing is taken off before a minute is over', [0, 5], 64.999, 2],
  ['a minute without a report takes one off', [0, 5], 65, 1],
  ['two minutes take off two', [0, 5], 125, 0],
  ['never below nothing', [0], 100_000, 0],
  ['a report goes on from what is left', [0, 5, 10, 130], 130, 2],
  ['a clock that was set back changes nothing', [100], 0, 1],
])('%s', (_what, reports, seen, level) => {
  expect(levelAfter(reports, seen)).toBe(level)
})

test('the reason and time are told as long as there is pressure', () => {
  const stored: StoredPressure = { pressure: 1, pressure_at: at(0), pressure_reason: 'slow' }
  expect(pressureAt(stored, at(1))).toEqual({ level: 1, reason: 'slow', at: at(0) })
  expect(pressureAt(stored, at(60))).toEqual({ level: 0, reason: null, at: null })
})
