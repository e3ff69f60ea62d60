import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TokenBucket } from './token-bucket.ts'

test('a rate of 1000 bytes a second, step by step', () => {
  const bucket = new TokenBucket(1000, 0)
  expect(bucket.take(250, 0)).toBe(0)
  expect(bucket.take(500, 0)).toBe(500)
  // Who comes at the same time waits behind.
  expect(bucket.take(500, 0)).toBe(1000)
  expect(bucket.take(0, 400)).toBe(600)
  expect(bucket.take(100, 1000)).toBe(100)
  // However long nothing happens, no more than a quarter of a second is saved up.
  expect(bucket.take(250, 100_000)).toBe(0)
  expect(bucket.take(100, 100_000)).toBe(100)
})

test('another rate holds from then on, also for what was promised', () => {
  const bucket = new TokenBucket(1000, 0)
  bucket.take(1250, 0)
  bucket.setRate(500, 0)
  expect(bucket.take(0, 0)).toBe(2000)
  bucket.setRate(4000, 0)
  expect(bucket.take(0, 0)).toBe(250)
})

test('a clock that goes back earns nothing', () => {
  const bucket = new TokenBucket(1000, 1000)
  bucket.take(250, 1000)
  expect(bucket.take(100, 0)).toBe(100)
  expect(bucket.take(0, 1000)).toBe(100)
})

test('whoever takes what and when: what has left by any time fits the rate, and nobody waits longer than that needs', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.array(fc.record({ after: fc.nat(2000), bytes: fc.nat(500_000) }), { minLength: 1, maxLength: 50 }),
      (rate, takes) => {
        const bucket = new TokenBucket(rate, 0)
        let now = 0
        let total = 0
        for (const { after, bytes } of takes) {
          now += after
          total += bytes
          const leaves = now + bucket.take(bytes, now)
          expect(total).toBeLessThanOrEqual((rate * leaves) / 1000 + rate * 0.25 + 1)
          // All that was ever taken, one after the other without a burst, would be through by then.
          expect(leaves - now).toBeLessThanOrEqual((total / rate) * 1000 + 1)
        }
      },
    ),
  )
})
