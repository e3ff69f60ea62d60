import { expect, test } from 'vitest'
import { formatBytes, formatDuration, GiB, KiB, MiB, sleep, TiB, workerFile } from './index.ts'

test.each<[bytes: number, text: string]>([
  [0, '0 B'],
  [1023, '1023 B'],
  [KiB, '1.00 KiB'],
  [64 * KiB, '64.0 KiB'],
  [320 * MiB, '320 MiB'],
  [1.5 * GiB, '1.50 GiB'],
  [63 * TiB, '63.0 TiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})

test.each<[ms: number, text: string]>([
  [12, '12 ms'],
  [1234, '1.2 s'],
  [61_000, '1 min 01 s'],
  [3_725_000, '1 h 02 min'],
])('%d ms are %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test('sleep ends with the reason of the signal', async () => {
  const stop = new AbortController()
  const reason = new Error('enough')
  setTimeout(() => stop.abort(reason), 5)
  await expect(sleep(60_000, stop.signal)).rejects.toBe(reason)
})

test('the file of a worker is the built one, also for a caller in src', () => {
  expect(workerFile('file:///varve/services/x/src/pool.ts', './lane.js').href).toBe('file:///varve/services/x/dist/lane.js')
  expect(workerFile('file:///varve/services/x/dist/pool.js', './lane.js').href).toBe('file:///varve/services/x/dist/lane.js')
})
