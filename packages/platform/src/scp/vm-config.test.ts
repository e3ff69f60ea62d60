import { expect, test } from 'vitest'
import { changeOfVm, diskSizeOf, newVmBody } from './vm-config.ts'

const SAVED = {
  name: 'web',
  description: 'shop',
  host_id: 'host-1',
  datastore_id: 'ds-1',
  az_id: 'az-1',
  template_id: 't',
  future_field: { kept: true },
  os_option: { arch: 'x86_64' },
  hardware_option: {
    cpu: { cores: 4 },
    disks: [
      { device_id: 'ide0', size_gb: 1, base_image_id: 'golden', io_config: { read_iops: 100 } },
      { device_id: 'ide1', size_gb: 2, size_bytes: 2 * 1024 ** 3 + 512 },
      { device_id: 'ide2', size_gb: 9, type: 'share_disk' },
    ],
    network_adapters: [{ vif_id: 'v', port_id: 'p', mac_address: 'fe:fc:00:00:00:01', type: 'VIRTIO' }],
  },
}
const PLACES = { azs: ['az-0', 'az-1'], datastores: ['ds-0', 'ds-1'], hosts: ['host-1'] }

test('a new VM is the saved one without what belongs to the old one alone', () => {
  expect(newVmBody(SAVED, { name: 'web-restored', clientToken: 'run-1' }, PLACES)).toEqual({
    name: 'web-restored',
    description: 'shop (varve run-1)',
    host_id: 'host-1',
    datastore_id: 'ds-1',
    az_id: 'az-1',
    future_field: { kept: true },
    os_option: { arch: 'x86_64' },
    hardware_option: {
      cpu: { cores: 4 },
      disks: [
        { device_id: 'ide0', size_gb: 1, io_config: { read_iops: 100 } },
        { device_id: 'ide1', size_gb: 2, size_bytes: 2 * 1024 ** 3 + 512 },
      ],
      network_adapters: [{ type: 'VIRTIO' }],
    },
  })
})

test('places that are gone give way to ones that exist', () => {
  const body = newVmBody(SAVED, { name: 'x', clientToken: 'run-1' }, { azs: ['az-7'], datastores: ['ds-7'], hosts: [] })
  expect(body).toMatchObject({ az_id: 'az-7', datastore_id: 'ds-7' })
  expect(body).not.toHaveProperty('host_id')
  expect(() => newVmBody({ name: 'x' }, { name: 'x', clientToken: 'run-1' }, { azs: [], datastores: [], hosts: [] })).toThrow(
    'no resource pool',
  )
})

test('a change names only disks that are missing, smaller than they were, or limited', () => {
  const disk = (id: string, size: number) => ({ id, size, datastoreId: 'ds-1' })
  const change = changeOfVm(SAVED, [disk('ide0', 1024 ** 3), disk('ide1', 2 * 1024 ** 3), disk('ide5', 1)])
  expect(change).toEqual({
    description: 'shop',
    os_option: { arch: 'x86_64' },
    hardware_option: {
      cpu: { cores: 4 },
      network_adapters: SAVED.hardware_option.network_adapters,
      disks: [{ device_id: 'ide0', io_config: { read_iops: 100 } }, SAVED.hardware_option.disks[1]],
    },
  })
  expect(change).not.toHaveProperty('name')
})

test('a disk that has grown since keeps its size', () => {
  const disk = (id: string, size: number) => ({ id, size, datastoreId: 'ds-1' })
  const { hardware_option } = changeOfVm(SAVED, [disk('ide0', 3 * 1024 ** 3), disk('ide1', 4 * 1024 ** 3)])
  expect(hardware_option).toMatchObject({ disks: [{ device_id: 'ide0', io_config: { read_iops: 100 } }] })
  expect((hardware_option as { disks: unknown[] }).disks).toEqual([{ device_id: 'ide0', io_config: { read_iops: 100 } }])
})

test.each([[{}], [{ size_gb: 'many' }], [{ size_gb: 0.3 }], [{ size_bytes: '512' }], [{ size_bytes: -512 }], [{ size_gb: 1e9 }]])(
  'the disk %j has no size',
  disk => {
    expect(() => diskSizeOf(disk)).toThrow('missing or not whole bytes')
  },
)
