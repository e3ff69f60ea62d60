import { GiB, MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { ESTATES, type Estate, MEASURED, night, POINTS } from './capacity.ts'
import { simulatedNight } from './simulated-night.ts'

const small: Estate = { ...ESTATES['100 VMs']!, vms: 37, data: 37 * 53 * GiB, disksPerVm: 3 }
const within = (part: number, value: number, wanted: number): void => expect(Math.abs(value / wanted - 1)).toBeLessThan(part)

test.each(POINTS)('the formula and the simulation come near what was measured: $seconds s', ({ estate, allowed, seconds }) => {
  within(0.2, night(estate, MEASURED, allowed).seconds, seconds)
  within(0.2, simulatedNight(estate, MEASURED, allowed), seconds)
})

test.each([
  ['reader cores', { ...small }],
  ['hosts', { ...small, hosts: 1, readerCores: 8, lanes: 14 }],
  ['way to the store', { ...small, storeRate: 20 * MiB }],
  ['connections to disks', { ...small, readerCores: 16, lanes: 2, hosts: 40 }],
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
