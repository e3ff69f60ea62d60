import { expect, test } from 'vitest'
import { DEFAULT_LIMITS, limitsOf, underPressure } from './limits.ts'

test('what was not set has its default', () => {
  expect(limitsOf({})).toEqual({ runs: 32, runsPerHost: 16, openDisksPerHost: 16, openDisksPerDatastore: 10, bytesPerSecond: null })
  expect(limitsOf({ runs: 3, bytesPerSecond: 5_000_000 })).toEqual({ ...DEFAULT_LIMITS, runs: 3, bytesPerSecond: 5_000_000 })
})

test('each level of pressure halves every limit, and leaves at least one of each', () => {
  const limits = { ...DEFAULT_LIMITS, bytesPerSecond: 100_000_000 }
  expect(underPressure(limits, 0)).toEqual(limits)
  expect(underPressure(limits, 1)).toEqual({
    runs: 16,
    runsPerHost: 8,
    openDisksPerHost: 8,
    openDisksPerDatastore: 5,
    bytesPerSecond: 50_000_000,
  })
  expect(underPressure(limits, 6)).toEqual({
    runs: 1,
    runsPerHost: 1,
    openDisksPerHost: 1,
    openDisksPerDatastore: 1,
    bytesPerSecond: 1_562_500,
  })
})

test('a connection without a limit stays so; one with a small one keeps 256 KiB a second', () => {
  expect(underPressure(DEFAULT_LIMITS, 6).bytesPerSecond).toBe(null)
  expect(underPressure({ ...DEFAULT_LIMITS, bytesPerSecond: 1024 * 1024 }, 6).bytesPerSecond).toBe(256 * 1024)
})
