import { expect, test } from 'vitest'
import { RateLimit } from './rate-limit.ts'

test('counts each caller in windows of a minute', () => {
  const limit = new RateLimit(2)
  expect([limit.take('a', 0), limit.take('a', 1), limit.take('a', 30_000)]).toEqual([0, 0, 30])
  expect(limit.take('b', 30_000)).toBe(0)
  expect(limit.take('a', 60_000)).toBe(0)
})

test('0 is no limit', () => {
  const limit = new RateLimit(0)
  for (let i = 0; i < 1000; i++) expect(limit.take('a', 0)).toBe(0)
})
