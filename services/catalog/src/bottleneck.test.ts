import { expect, test } from 'vitest'
import { bottleneckOf } from './bottleneck.ts'

test.each([
  [{ source: 0, throttle: 0, cpu: 0, store: 0 }, null],
  [{ source: 1, throttle: 0, cpu: 0, store: 0 }, 'source'],
  [{ source: 5, throttle: 9, cpu: 3, store: 8 }, 'throttle'],
  [{ source: 5, throttle: 0, cpu: 5, store: 5 }, 'source'],
  [{ source: 5, throttle: 0, cpu: 5, store: 6 }, 'store'],
] as const)('%o: %s', (times, most) => {
  expect(bottleneckOf(times)).toBe(most)
})
