import { expect, test } from 'vitest'
import { formatBytes, formatDuration } from './units.ts'

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.00 KiB'],
  [1536 * 1024, '1.50 MiB'],
  [1023.9 * 1024 ** 2, '1024 MiB'],
  [120 * 1024 ** 3, '120 GiB'],
  [63 * 1024 ** 4, '63.0 TiB'],
])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))

test.each([
  [0, '0 ms'],
  [999.6, '1.0 s'],
  [12_340, '12.3 s'],
  [59_990, '1 min 00 s'],
  [245_000, '4 min 05 s'],
  [7_800_000, '2 h 10 min'],
])('%d ms are %s', (ms, text) => expect(formatDuration(ms)).toBe(text))
