import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  countBackupRequests,
  DEFAULT_RATE,
  DEFAULT_RATIO,
  DEFAULT_STEP_SECONDS,
  type PastRun,
  type PredictedDisk,
  predictionOf,
  predictSeconds,
  priceOf,
  storedRatio,
  withPreview,
} from '../index.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
const seconds = fc.double({ min: 0, max: 1e5, noNaN: true })
const bytes = fc.nat(2 ** 40)
const kind = fc.constantFrom('full', 'incremental')
const pastRun: fc.Arbitrary<PastRun> = fc.record({
  vmId: fc.constantFrom('a', 'b'),
  read: bytes,
  copySeconds: seconds,
  stepSeconds: seconds,
  disks: fc.array(fc.record({ diskId: fc.constantFrom('d0', 'd1'), kind, read: bytes, stored: bytes }), { maxLength: 2 }),
})
const past = fc.array(pastRun, { maxLength: 8 })

test('time: between the shortest and the longest that the past runs would give, each stretched to the size', () => {
  fc.assert(
    fc.property(bytes, past, (read, runs) => {
      const { seconds, basis } = predictSeconds(read, 'a', runs)
      const own = runs.filter(({ vmId }) => vmId === 'a')
      const used = own.length > 0 ? own : runs
      expect(basis.from).toBe(own.length > 0 ? 'vm' : runs.length > 0 ? 'platform' : 'default')
      expect(basis.runs).toBe(Math.min(3, used.length))
      const each = used.map(run => run.stepSeconds + (run.read === 0 ? read / DEFAULT_RATE : (run.copySeconds * read) / run.read))
      if (used.length === 0) expect(seconds).toBe(DEFAULT_STEP_SECONDS + read / DEFAULT_RATE)
      else {
        expect(seconds).toBeGreaterThanOrEqual(Math.min(...each))
        expect(seconds).toBeLessThanOrEqual(Math.max(...each))
      }
    }),
  )
})

test('time: a run of a size that was seen takes as long as then, whatever runs of other sizes took', () => {
  const incremental: PastRun = { vmId: 'a', read: 160 * MiB, copySeconds: 0.5, stepSeconds: 0.4, disks: [] }
  const full: PastRun = { vmId: 'a', read: 2 * GiB, copySeconds: 10, stepSeconds: 0.6, disks: [] }
  const runs = [incremental, incremental, full, full, incremental]
  expect(predictSeconds(160 * MiB, 'a', runs).seconds).toBeCloseTo(0.9)
  expect(predictSeconds(2 * GiB, 'a', [full, ...runs]).seconds).toBeCloseTo(10.6)
  // A single slow one is not the middle.
  expect(predictSeconds(160 * MiB, 'a', [{ ...incremental, copySeconds: 500 }, ...runs]).seconds).toBeCloseTo(0.9)
})

test('stored: the ratio of the newest images of the same disk and kind, else of the VM, else of any; never below nothing', () => {
  fc.assert(
    fc.property(past, kind, (runs, kind) => {
      const { ratio, basis } = storedRatio({ vmId: 'a', diskId: 'd0', kind }, runs)
      const images = runs
        .flatMap(({ vmId, disks }) => disks.map(disk => ({ vmId, ...disk })))
        .filter(disk => disk.kind === kind && disk.read > 0)
      const ofVm = images.filter(({ vmId }) => vmId === 'a')
      const ofDisk = ofVm.filter(({ diskId }) => diskId === 'd0')
      const used = [ofDisk, ofVm, images].find(list => list.length > 0) ?? []
      expect(basis.from).toBe(used === ofDisk ? 'disk' : used === ofVm ? 'vm' : used === images ? 'platform' : 'default')
      expect(basis.runs).toBe(Math.min(5, used.length))
      if (used.length === 0) expect(ratio).toBe(DEFAULT_RATIO)
      else {
        const ratios = used.slice(0, 5).map(({ read, stored }) => stored / read)
        expect(ratio).toBeGreaterThanOrEqual(Math.min(...ratios) * (1 - 1e-9))
        expect(ratio).toBeLessThanOrEqual(Math.max(...ratios) * (1 + 1e-9))
      }
    }),
  )
})

test('requests: packs of 24 MiB, a map for each range that reads something, a root; more data never takes fewer', () => {
  expect(countBackupRequests([], 1, false)).toEqual({ puts: 1, gets: 1 })
  expect(countBackupRequests([{ read: 48 * MiB, pages: 1 }], 0.5, false)).toEqual({ puts: 3, gets: 6 })
  expect(countBackupRequests([{ read: 256 * MiB, pages: 3 }], 1, true)).toEqual({ puts: 11 + 1 + 1, gets: 11 * 4 + 1 + 1 + 3 + 2 })
  const range = fc.record({ read: fc.nat(300 * MiB), pages: fc.integer({ min: 1, max: 256 }) })
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 30 }),
      range,
      fc.double({ min: 0, max: 1.1, noNaN: true }),
      fc.boolean(),
      (ranges, more, ratio, onParent) => {
        const less = countBackupRequests(ranges, ratio, onParent)
        const grown = countBackupRequests([...ranges, more], ratio, onParent)
        expect(grown.puts).toBeGreaterThanOrEqual(less.puts)
        expect(grown.gets).toBeGreaterThanOrEqual(less.gets)
      },
    ),
  )
})

test('price: by requests, by what is read from the repository, and by what is kept', () => {
  const prices = { currency: 'EUR', perGibMonth: 0.02, perThousandPuts: 0.005, perThousandGets: 0.0004, perGibRead: 0.09 }
  expect(priceOf({ stored: 10 * GiB, puts: 2000, gets: 500, fetched: 0 }, prices)).toEqual({ currency: 'EUR', run: 0.0102, perMonth: 0.2 })
  expect(priceOf({ stored: 0, puts: 0, gets: 1000, fetched: 2 * GiB }, prices)).toEqual({ currency: 'EUR', run: 0.1804, perMonth: 0 })
})

const disk: PredictedDisk = {
  diskId: 'd0',
  diskSize: GiB,
  kind: 'incremental',
  reason: null,
  planned: 64 * 1024,
  read: 256 * 1024,
  exact: false,
  stored: 1000,
  storedBasis: { from: 'disk', runs: 1 },
  puts: 3,
  gets: 5,
}
const time = { seconds: 1, basis: { from: 'vm', runs: 1 } } as const

test('a prediction sums up its disks, and is exact only when each of them is', () => {
  const exact = { ...disk, diskId: 'd1', exact: true }
  expect(predictionOf('backup', [disk, exact], time)).toMatchObject({
    planned: 128 * 1024,
    read: 512 * 1024,
    stored: 2000,
    puts: 7,
    gets: 11,
    exact: false,
  })
  expect(predictionOf('restore', [exact], time)).toMatchObject({ puts: 3, gets: 5, exact: true })
})

test('a run takes over the figures of a preview of the very same plan, and of no other', () => {
  const plan = predictionOf('backup', [disk], time)
  const seen = predictionOf('backup', [{ ...disk, read: 64 * 1024, exact: true }], time)
  expect(withPreview(plan, { id: 'p', prediction: seen })).toEqual({ ...seen, previewId: 'p' })
  for (const other of [
    undefined,
    { id: 'p', prediction: null },
    { id: 'p', prediction: { ...seen, of: 'restore' as const } },
    { id: 'p', prediction: predictionOf('backup', [], time) },
    { id: 'p', prediction: predictionOf('backup', [{ ...disk, planned: disk.planned + 1 }], time) },
    { id: 'p', prediction: predictionOf('backup', [{ ...disk, kind: 'full' }], time) },
    { id: 'p', prediction: predictionOf('backup', [{ ...disk, diskSize: 2 * GiB }], time) },
    { id: 'p', prediction: predictionOf('backup', [{ ...disk, diskId: 'd1' }], time) },
  ]) {
    expect(withPreview(plan, other)).toBe(plan)
  }
})
