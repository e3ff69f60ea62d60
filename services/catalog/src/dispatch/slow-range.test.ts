import { expect, test } from 'vitest'
import { isSlow } from './slow-range.ts'

const S = 1000

test.each([
  [19, 1, false],
  [21, 1, true],
  [21, 7, false],
  [30, 10, false],
  [31, 10, true],
  [59, null, false],
  [61, null, true],
])('%i s where %s s are usual: %s', (running, usual, slow) => {
  expect(isSlow({ runningMs: running * S, usualMs: usual === null ? null : usual * S }, 20 * S)).toBe(slow)
})
