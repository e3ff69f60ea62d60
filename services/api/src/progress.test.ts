import type { Run } from '@varve/catalog-client'
import { expect, test } from 'vitest'
import { doneFraction, RateMeter } from './progress.ts'

const MiB = 1024 * 1024

function run(state: Run['state'], totals: Partial<Run['totals']>, kind: Run['kind'] = 'backup'): Run {
  const none = { planned: 0, read: 0, written: 0, unchanged: 0, zero: 0, rangesTotal: 0, rangesDone: 0 }
  return { id: 'r', kind, state, startedAt: null, totals: { ...none, ...totals } } as Run
}

test('the larger of bytes and ranges is done, since holes are not read', () => {
  expect(doneFraction(run('copying', { planned: 100, read: 30, rangesTotal: 10, rangesDone: 2 }))).toBe(0.3)
  expect(doneFraction(run('copying', { planned: 100, read: 0, rangesTotal: 10, rangesDone: 8 }))).toBe(0.8)
  expect(doneFraction(run('copying', { planned: 100, written: 30, zero: 20, read: 99, rangesTotal: 10 }, 'restore'))).toBe(0.5)
})

test('nothing to copy is nothing done while it is planned, and everything once it is sealed', () => {
  expect(doneFraction(run('preparing', {}))).toBe(0)
  expect(doneFraction(run('sealing', {}))).toBe(1)
  expect(doneFraction(run('succeeded', { planned: 100, read: 3, rangesTotal: 4 }))).toBe(1)
})

test('the rate is that of the last seconds, and tells what remains', () => {
  const meter = new RateMeter()
  const at = (now: number, read: number) => meter.observe(run('copying', { planned: 1000 * MiB, read, rangesTotal: 1000 }), now)
  expect(at(0, 0)).toEqual({ fraction: 0, rate: null, remainingSeconds: null })
  expect(at(10_000, 100 * MiB)).toEqual({ fraction: 0.1, rate: 10 * MiB, remainingSeconds: 90 })
  for (let second = 11; second <= 40; second++) at(second * 1000, 100 * MiB + (second - 10) * 20 * MiB)
  expect(at(40_000, 700 * MiB).rate).toBeCloseTo(20 * MiB, -3)
  expect(meter.observe(run('sealing', {}), 41_000)).toEqual({ fraction: 1, rate: null, remainingSeconds: null })
})

test('a run that stands still has rate 0 and no promise', () => {
  const meter = new RateMeter()
  const at = (now: number) => meter.observe(run('copying', { planned: 100, read: 50, rangesTotal: 2 }), now)
  at(0)
  expect(at(5000)).toEqual({ fraction: 0.5, rate: 0, remainingSeconds: null })
})
