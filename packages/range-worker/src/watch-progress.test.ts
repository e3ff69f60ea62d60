import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { watchProgress } from './watch-progress.ts'

const MINUTE = 60_000
const range = { id: 'range', attemptId: 'attempt', diskId: 'virtio0', index: 3 }
const catalog = { progressRange: async () => ({ next: 'go-on' }) as const }
const never = new AbortController().signal

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})

test('a range goes on for hours as long as it makes steps, also steps without bytes', () => {
  const watch = watchProgress(range, catalog, never)
  for (let steps = 1; steps <= 60; steps++) {
    watch.onProgress({ read: 0, written: 0 }, steps)
    vi.advanceTimersByTime(4.9 * MINUTE)
  }
  expect(watch.signal.aborted).toBe(false)
  watch.stop()
})

test('a range that only says it is alive is given up after five minutes, to be tried again', () => {
  const watch = watchProgress(range, catalog, never)
  watch.onProgress({ read: 1, written: 1 }, 1)
  for (let second = 1; second < 300; second++) {
    vi.advanceTimersByTime(1000)
    watch.onProgress({ read: 1, written: 1 }, 1)
  }
  expect(watch.ended).toBeUndefined()
  vi.advanceTimersByTime(1000)
  expect(watch.ended).toMatchObject({ code: 'RANGE_STALLED', retryable: true })
  expect(watch.ended).toHaveProperty('message', 'range 3 of disk virtio0 made no progress for 5 min 00 s')
  expect(watch.signal.reason).toBe(watch.ended)
})

test('a lane that never says anything is given up too', () => {
  const watch = watchProgress(range, catalog, never, 1000)
  vi.advanceTimersByTime(999)
  expect(watch.signal.aborted).toBe(false)
  vi.advanceTimersByTime(1)
  expect(watch.ended).toMatchObject({ code: 'RANGE_STALLED' })
})

test('after its end nothing is watched any more', () => {
  const watch = watchProgress(range, catalog, never)
  watch.stop()
  vi.advanceTimersByTime(60 * MINUTE)
  expect(watch.ended).toBeUndefined()
  expect(vi.getTimerCount()).toBe(0)
})
