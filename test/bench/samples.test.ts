import { expect, test } from 'vitest'
import type { Measured } from './measure.ts'
import { median, Samples } from './samples.ts'

const run = (wall: number, more: Record<string, number> = {}): Measured => ({ wall, cpu: 0, serverCpu: 0, otherCpu: 0, peak: 0, ...more })

test('a median is the one in the middle, or between the two', () => {
  expect(median([5, 1, 3])).toBe(3)
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

test('a ratio is of pairs: a round that was slow for both does not count against one', () => {
  const samples = new Samples()
  for (const wall of [2, 20, 2]) samples.add('theirs', run(wall))
  for (const wall of [1, 10, 4]) samples.add('ours', run(wall))
  expect(samples.ratio('theirs', 'ours')).toBe(2)
})

test('what was not measured has no ratio, and rounds that only one has are left out', () => {
  const samples = new Samples()
  samples.add('ours', run(1, { mibs: 10 }))
  samples.add('ours', run(3, { mibs: 10 }))
  samples.add('theirs', run(4))
  expect(samples.ratio('theirs', 'ours')).toBe(4)
  expect(samples.ratio('ours', 'theirs')).toBe(0.25)
  expect(samples.ratio('theirs', 'ours', 'mibs')).toBeUndefined()
  expect(samples.ratio('nobody', 'ours')).toBeUndefined()
  expect(samples.median('nobody')).toBeUndefined()
})

test('the best has the smallest median, of those that were measured', () => {
  const samples = new Samples()
  for (const wall of [3, 3, 3]) samples.add('steady', run(wall))
  for (const wall of [1, 9, 9]) samples.add('lucky once', run(wall))
  expect(samples.best(['lucky once', 'nobody', 'steady'])).toBe('steady')
  expect(samples.best(['nobody'])).toBeUndefined()
})
