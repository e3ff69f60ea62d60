import { expect, test } from 'vitest'
import { fairnessOver, jainIndex } from './fairness.ts'
import { Histogram } from './histogram.ts'
import { rangesOf } from './night-plan.ts'

test('the index is 1 among equals and 1/n when one gets everything', () => {
  expect(jainIndex([3, 3, 3])).toBe(1)
  expect(jainIndex([9, 0, 0])).toBeCloseTo(1 / 3)
  expect(jainIndex([])).toBe(1)
})

test('only runs that have work through a window are compared in it', () => {
  const every = (ms: number, from: number, count: number): number[] => Array.from({ length: count }, (_, n) => from + n * ms)
  const run = (vm: number, served: number[]) => ({ vm, plannedAt: 0, served, ranges: served.length })
  expect(fairnessOver([run(1, every(10, 0, 201)), run(2, every(10, 5, 201))], 1000)).toBe(1)
  expect(fairnessOver([run(1, every(10, 0, 201)), run(2, every(10, 5, 50))], 1000)).toBeNull()
  expect(fairnessOver([run(1, every(10, 0, 201)), run(2, [2001])], 1000)).toBeCloseTo(0.5)
})

test('a night has about as many ranges as it is asked for', () => {
  const night = { vms: 10_000, ranges: 1_000_000 }
  let all = 0
  for (let vm = 0; vm < night.vms; vm++) all += rangesOf(vm, night)[0] + rangesOf(vm, night)[1]
  expect(all / night.ranges).toBeCloseTo(1, 1)
})

test('percentiles are right to a few per cent, also of merged times', () => {
  const [a, b] = [new Histogram(), new Histogram()]
  for (let ms = 1; ms <= 1000; ms++) (ms % 2 === 0 ? a : b).add(ms)
  a.merge(JSON.parse(JSON.stringify(b.data())))
  expect(a.count).toBe(1000)
  expect(a.at(0.5) / 500).toBeCloseTo(1, 1)
  expect(a.at(0.99) / 990).toBeCloseTo(1, 1)
  expect(a.at(1)).toBe(1000)
})
