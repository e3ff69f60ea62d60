import { GiB, MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { ESTATES, type Estate, night, POINTS } from './capacity.ts'
import { ALLOWED, MEASURED } from './capacity-constants.ts'
import { requestSeconds } from './platform-requests.ts'
import { simulatedNight } from './simulated-night.ts'

const small: Estate = { ...ESTATES['100 VMs']!, vms: 37, data: 37 * 53 * GiB, disksPerVm: 3 }
const within = (part: number, value: number, wanted: number): void => expect(Math.abs(value / wanted - 1)).toBeLessThan(part)

test.each(POINTS)(
  'the formula and the simulation come near what was measured: $name, $seconds s',
  ({ estate, measured, allowed, seconds }) => {
    within(0.2, night(estate, measured, allowed).seconds, seconds)
    within(0.2, simulatedNight(estate, measured, allowed), seconds)
  },
)

test('two of the points wait for their connections, one for its cores', () => {
  const waits = POINTS.map(({ estate, measured, allowed }) => night(estate, measured, allowed).needs[0]?.resource)
  expect(waits).toEqual(['connections to disks', 'connections to disks', 'reader cores'])
})

test.each([
  ['reader cores', { ...small, hosts: 40 }],
  ['hosts', { ...small, hosts: 1, readerCores: 8, lanes: 14 }],
  ['way to the store', { ...small, storeRate: 20 * MiB }],
  ['connections to disks', { ...small, readerCores: 16, lanes: 2, hosts: 40 }],
  ['API requests', { ...small, vms: 500, data: 500 * GiB, datastores: 40, hosts: 40, readerCores: 64, lanes: 128, storeRate: 1e10 }],
])('where %s bind, a night played through takes as long as the formula says', (resource, estate) => {
  const { needs, seconds } = night(estate)
  expect(needs[0]?.resource).toBe(resource)
  within(0.1, simulatedNight(estate), seconds)
})

test('twice the cores take half of the time, until something else binds', () => {
  const of = (readerCores: number): number =>
    night({ ...small, hosts: 1000, datastores: 1000, readerCores, lanes: readerCores * 2 }).seconds
  within(0.01, of(2), of(1) / 2)
  const many = night({ ...small, readerCores: 64, lanes: 128 })
  expect(many.needs[0]?.resource).toBe('hosts')
  expect(night({ ...small, readerCores: 128, lanes: 256 }).seconds).toBe(many.seconds)
})

test('a night reads and stores more than was changed, never more than there is', () => {
  const { read, stored } = night(small)
  expect(read / small.data).toBeCloseTo(0.03 * MEASURED.readPerChanged)
  expect(stored / small.data).toBeCloseTo(0.03 * MEASURED.storedPerChanged)
  expect(night({ ...small, changed: 0.9 }).read).toBe(small.data)
})

test('as many runs are let in as hosts and datastores have room for', () => {
  const runs = (hosts: number, datastores: number): number => night({ ...small, hosts, datastores, renewSeconds: 60 }).runs
  expect(runs(1, 100)).toBe(ALLOWED.runsPerHost)
  expect(runs(40, 4)).toBe(Math.floor((4 * ALLOWED.disksPerDatastore) / small.disksPerVm))
  expect(runs(40, 100)).toBe(ALLOWED.runs)
})

test('a snapshot is merged the longer, the longer its run had to wait', () => {
  const quick = night({ ...small, readerCores: 8, lanes: 16 })
  const slow = night({ ...small, storeRate: 10 * MiB })
  within(0.01, slow.mergeSeconds / quick.mergeSeconds, slow.needs[0]!.seconds / quick.needs[0]!.seconds)
  // 53 GiB, 3 % of them in a day, for one run's time of the night, at 80 MiB/s.
  const lives = (slow.needs[0]!.seconds * slow.runs) / small.vms
  within(0.01, slow.mergeSeconds, (53 * 1024 * 0.03 * lives) / 86_400 / 80)
})

test('leases that are renewed too often leave no requests for backups', () => {
  const asked = { vms: 1000, disksPerVm: 2, rangesPerDisk: 1, readers: 1, runs: 32, renewSeconds: 60, copySeconds: 10 }
  // 4 each of what 32 renewals leave of 100 a minute.
  within(0.001, requestSeconds(asked, ALLOWED), (1000 * 4 * 60) / (100 - 32))
  expect(requestSeconds({ ...asked, renewSeconds: 19 }, ALLOWED)).toBe(Number.POSITIVE_INFINITY)
  const large = ESTATES['10,000 VMs']!
  expect(night(large).fewer).toBe(true)
  expect(night({ ...large, renewSeconds: 60 }).seconds).toBeLessThan(night(large).seconds)
})

test('each reader asks for the address of a disk once a minute, at most for each range', () => {
  const asked = { vms: 1000, disksPerVm: 2, rangesPerDisk: 15, readers: 2, runs: 30, renewSeconds: 60, copySeconds: 70 }
  const rates = { getRate: 10, otherRate: Number.POSITIVE_INFINITY }
  // A list of ten pages a minute and 30 renewals are always asked for.
  const left = 10 - 10 / 60 - 30 / 60
  within(0.001, requestSeconds(asked, rates), (1000 * (16 + 2 * (1 + 4))) / left)
  within(0.001, requestSeconds({ ...asked, readers: 100 }, rates), (1000 * (16 + 2 * (1 + 15))) / left)
})

test('Redis holds a window of ranges, whatever waits', () => {
  const bytes = (data: number): number => night({ ...small, data }).redisBytes
  expect(bytes(1000 * small.data)).toBe(bytes(small.data))
  expect(bytes(small.data) - MEASURED.redisBytes).toBe((256 + night(small).runs) * MEASURED.jobBytes)
})

test('a slow Redis holds a night up', () => {
  const measured = { ...MEASURED, jobRate: 0.5 }
  const { needs, seconds } = night(small, measured)
  expect(needs[0]?.resource).toBe('Redis')
  within(0.1, simulatedNight(small, measured), seconds)
})
