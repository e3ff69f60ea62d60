import { expect, test } from 'vitest'
import { planRanges, planRestore, planWholeDisk } from './index.ts'

const KiB = 1024
const TB = 1024 ** 4
const geometry = { diskSize: 63 * TB, blockSize: 256 * KiB }

test('a 63 TB disk without tracking becomes about a thousand ranges', () => {
  const ranges = [...planWholeDisk(geometry)]
  expect(ranges).toHaveLength(1024)
  expect(ranges[0]!.pageCount).toBe(252)
})

test('a 63 TB disk with one changed granule in each GiB is planned as a stream', async () => {
  function* answers() {
    for (let gib = 0; gib < 63 * 1024; gib++) yield [{ offset: gib * KiB ** 3, length: 64 * KiB }]
  }
  let ranges = 0
  let bytes = 0
  const before = process.memoryUsage().heapUsed
  let most = 0
  for await (const range of planRanges(answers(), geometry)) {
    ranges += 1
    bytes += range.bytes
    most = Math.max(most, process.memoryUsage().heapUsed - before)
  }
  // 256 touched pages each, however far apart.
  expect(ranges).toBe(252)
  expect(bytes).toBe(63 * 1024 * 64 * KiB)
  expect(most).toBeLessThan(64 * 1024 * KiB)
})

test('a 63 TB restore of an empty map plans nothing onto an empty disk, and the whole disk onto any other', () => {
  expect([...planRestore([], geometry, 'empty')]).toEqual([])
  expect([...planRestore([], geometry, 'unknown')]).toHaveLength(1008)
})

test('a page cut finer than one range may be is planned in whole blocks', async () => {
  const blockSize = 4096 * KiB
  function* everySecondGranule() {
    for (let offset = 0; offset < 4 * KiB ** 3; offset += 128 * KiB) yield [{ offset, length: 64 * KiB }]
  }
  const ranges = []
  for await (const range of planRanges(everySecondGranule(), { diskSize: 63 * TB, blockSize })) ranges.push(range)
  expect(ranges).toEqual([{ index: 0, firstPage: 0, pageCount: 1, extents: [{ offset: 0, length: 4 * KiB ** 3 }], bytes: 4 * KiB ** 3 }])
})
