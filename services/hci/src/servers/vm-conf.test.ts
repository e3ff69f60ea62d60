import { expect, test } from 'vitest'
import type { HciError } from '../errors.ts'
import { diskEntries, mergeVmConf, newDisks, plainVmConf, type VmConf, withDisks } from './vm-conf.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const LIMITS = { minimum: MIB, maximum: 63 * 1024 * GIB }

function conf(...disks: VmConf[]): VmConf {
  return { hardware_option: { disks } }
}

function code(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    return (error as HciError).code
  }
  return 'none'
}

test('size_bytes wins over size_gb, size_gb alone is enough', () => {
  expect(newDisks(conf({ device_id: 'virtio0', size_gb: 1, size_bytes: 2 * MIB }, { device_id: 'ide1', size_gb: 1.5 }), LIMITS)).toEqual([
    { id: 'virtio0', size: 2 * MIB },
    { id: 'ide1', size: 1.5 * GIB },
  ])
})

test.each([[0], [-512], [MIB + 1], [MIB + 256], [512], [64 * 1024 * GIB], ['1048576'], [Number.NaN], [2 ** 60], [null]])(
  'refuses a disk of %s bytes',
  size => {
    expect(code(() => newDisks(conf({ device_id: 'virtio0', size_bytes: size }), LIMITS))).toBe('DISK_SIZE_INVALID')
  },
)

test.each([
  ['no id', conf({ size_gb: 1 })],
  ['a strange id', conf({ device_id: '../x', size_gb: 1 })],
  ['the same id twice', conf({ device_id: 'ide0', size_gb: 1 }, { device_id: 'ide0', size_gb: 1 })],
  ['a list of numbers', { hardware_option: { disks: [1] } }],
  ['no list', { hardware_option: { disks: {} } }],
  ['65 disks', conf(...Array.from({ length: 65 }, (_, i) => ({ device_id: `virtio${i}`, size_gb: 1 })))],
])('refuses disks with %s', (_, vmconf) => {
  expect(code(() => diskEntries(vmconf))).toBe('VM_CONFIG_INVALID')
})

test('a change is laid over: objects by field, lists whole, disks by id, unknown fields kept', () => {
  const before = {
    name: 'a',
    unknown: { deep: [1, 2], kept: true },
    hardware_option: {
      cpu: { cores: 2, sockets: 1 },
      disks: [
        { device_id: 'virtio0', size_gb: 1, size_bytes: GIB, x: 1 },
        { device_id: 'virtio1', size_gb: 2 },
      ],
    },
  }
  const change = { unknown: { deep: [3] }, hardware_option: { cpu: { cores: 4 }, disks: [{ device_id: 'virtio0', size_gb: 3 }] } }
  expect(mergeVmConf(before, change)).toEqual({
    name: 'a',
    unknown: { deep: [3], kept: true },
    hardware_option: {
      cpu: { cores: 4, sockets: 1 },
      disks: [
        { device_id: 'virtio0', size_gb: 3, x: 1 },
        { device_id: 'virtio1', size_gb: 2 },
      ],
    },
  })
})

test('the configuration that goes out can come back in', () => {
  const disks = [{ id: 'virtio0', size: 3 * MIB + 512 }]
  const out = JSON.parse(JSON.stringify(plainVmConf('a', disks))) as VmConf
  expect(newDisks(out, LIMITS)).toEqual(disks)
  expect(withDisks(out, disks)).toEqual(out)
})

test('entries of disks that are not there are dropped', () => {
  expect(diskEntries(withDisks(conf({ device_id: 'ide0', size_gb: 1 }), [{ id: 'ide1', size: GIB }]))).toMatchObject([
    { device_id: 'ide1' },
  ])
})
