import { connectNbd } from '@varve/nbd'
import { KiB, MiB } from '@varve/runtime'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { TestHci } from '../testing/test-hci.ts'

let hci: TestHci
let vm: string
let snapshot: string
let areas: string
const VERSION = '/janus/20180725/system/version'

beforeAll(async () => {
  hci = await TestHci.start({ faults: true })
  vm = await hci.createVm('faulty', { virtio0: 4 * MiB })
  await hci.done('PUT', `/janus/20180725/servers/${vm}/cbt/status`, { type: 'enable' })
  await hci.done('POST', `/janus/20180725/servers/${vm}/start`)
  const guest = await hci.guest(vm)
  await guest.write(0, Buffer.alloc(256 * KiB, 7))
  await guest.close()
  snapshot = await hci.snapshot(vm, 's')
  areas = `/janus/20180725/servers/${vm}/cbt/changed-areas?disk_id=virtio0&snapshot_id=${snapshot}&checkpoint_id=0&start_offset=0`
})
afterEach(() => hci.call('DELETE', '/varve-test/faults'))
afterAll(() => hci.close())

async function fault(kind: string, match?: unknown, params?: unknown, count?: number): Promise<void> {
  const { status } = await hci.call('POST', '/varve-test/faults', { kind, match, params, count })
  expect(status).toBe(200)
}

test('a status, with its Retry-After, as often as counted', async () => {
  await fault('http-status', { path: '/system/version$', method: 'GET' }, { status: 429, retry_after: 2 }, 2)
  const first = await hci.call('GET', VERSION)
  expect(first.status).toBe(429)
  expect(first.headers.get('retry-after')).toBe('2')
  expect((await hci.call('GET', '/janus/20180725/azs')).status).toBe(200)
  expect((await hci.call('GET', VERSION)).status).toBe(429)
  expect((await hci.call('GET', VERSION)).status).toBe(200)
  expect((await hci.call('GET', '/varve-test/faults')).data.faults).toMatchObject([{ hits: 2, spec: { kind: 'http-status' } }])
})

test('slow answers and dropped connections', async () => {
  await fault('http-slow', undefined, { ms: 120 }, 1)
  const before = performance.now()
  await hci.call('GET', VERSION)
  expect(performance.now() - before).toBeGreaterThan(100)
  await fault('http-drop', undefined, undefined, 1)
  await expect(hci.call('GET', VERSION)).rejects.toThrow()
  expect((await hci.call('GET', VERSION)).status).toBe(200)
})

test('a lost answer: the call took effect, and its client token brings the answer', async () => {
  await fault('http-drop-answer', { path: '/snapshots$' }, undefined, 1)
  const take = () => hci.call('POST', `/janus/20190725/servers/${vm}/snapshots`, { name: 'lost' }, { 'x-client-token': 'lost-1' })
  await expect(take()).rejects.toThrow()
  const { data } = await take()
  await hci.ended(data.task_id)
  const list = (await hci.call('GET', `/janus/20210725/servers/${vm}/snapshots`)).data
  expect(list.map((s: { name: string }) => s.name)).toEqual(['s', 'lost'])
  await hci.done('DELETE', `/janus/20180725/servers/${vm}/snapshots/${data.resource_id}`)
})

test('answers with other data, in lists and details', async () => {
  await fault('answer-merge', { path: '/20240725/servers' }, { data: { disks: [{ id: 'virtio0', size_bytes: 513 }] } })
  expect((await hci.call('GET', `/janus/20240725/servers/${vm}`)).data.disks).toMatchObject([
    { id: 'virtio0', type: 'new_disk', size_bytes: 513 },
  ])
  expect((await hci.call('GET', '/janus/20240725/servers')).data.data[0].disks[0].size_bytes).toBe(513)
})

test('a task that fails', async () => {
  await fault('task-fail', { action: 'snapshot_create' }, { message: 'no space left' }, 1)
  const { data } = await hci.call('POST', `/janus/20190725/servers/${vm}/snapshots`, { name: 'fails' })
  expect(await hci.ended(data.task_id)).toMatchObject({ status: 'failure', progress: -1, description: 'no space left' })
  expect((await hci.call('GET', `/janus/20210725/servers/${vm}/snapshots`)).data).toHaveLength(1)
})

test('a lease refused, and one lost', async () => {
  await fault('lease-refused', { vm_id: vm }, undefined, 1)
  const body = { server_id: vm, type: 'backup', lock_time: 60 }
  expect((await hci.call('POST', '/janus/20180725/backup-resources', body)).body.message).toContain('occupied')
  const lease = await hci.lease(vm, 'backup')
  const disk = await hci.leased(lease, snapshot, 'virtio0')
  await fault('lease-lost', { vm_id: vm })
  await expect(disk.readInto(0, Buffer.alloc(512))).rejects.toThrow()
  await disk.close()
  expect((await hci.call('GET', `/janus/20180725/backup-resources/${lease}`)).data.status).toBe('expired')
})

test('changed areas that are wrong, and an expired CBT', async () => {
  const right = (await hci.call('GET', areas)).data
  expect(right).toEqual({ changed_area: [{ start: 0, length: 256 * KiB }], start_offset: 0, length: 4 * MiB })
  const spoiled = async (mode: string) => {
    await fault('changed-areas', { vm_id: vm, disk_id: 'virtio0' }, { mode }, 1)
    return (await hci.call('GET', areas)).data
  }
  const [a, b] = (await spoiled('overlap')).changed_area
  expect(b.start).toBeLessThan(a.start + a.length)
  const [c, d] = (await spoiled('backwards')).changed_area
  expect(d.start).toBeLessThan(c.start)
  const [e] = (await spoiled('past-end')).changed_area
  expect(e.start + e.length).toBeGreaterThan(4 * MiB)
  expect((await spoiled('endless')).length).toBe(0)
  expect(await spoiled('empty')).toEqual({ changed_area: [], start_offset: 0, length: 4 * MiB })
  expect((await spoiled('malformed')).length).toBe('all')
  await fault('cbt-expired', undefined, undefined, 1)
  expect((await hci.call('GET', areas)).body.message).toBe('The VM CBT has expired. Please reset it.')
  expect((await hci.call('GET', areas)).data).toEqual(right)
})

test.each([
  ['drop', 'NBD_CLOSED'],
  ['stall', 'NBD_STALLED'],
  ['garbage', 'NBD_PROTOCOL'],
])('an NBD connection that does %s in the middle of a read', async (mode, code) => {
  await fault('nbd', { disk_id: 'virtio0' }, { mode, after_bytes: 100 * KiB }, 1)
  const lease = await hci.lease(vm, 'backup')
  const { host, port, secret } = (await hci.call('GET', `/janus/20180725/backup-resources/${lease}`)).data.data_access
  const address = { host, port, exportName: `${secret}/${snapshot}/virtio0` }
  const disk = await connectNbd(address, { stallMs: 1000 })
  const target = Buffer.alloc(64 * KiB)
  await disk.readInto(0, target)
  expect(target.every(byte => byte === 7)).toBe(true)
  const broken = async () => {
    for (let i = 0; i < 4; i++) await disk.readInto(0, target)
  }
  await expect(broken()).rejects.toMatchObject({ code })
  await disk.close()
  // The next connection is as it should be.
  const again = await connectNbd(address)
  for (let i = 0; i < 4; i++) await again.readInto(0, target)
  await again.close()
  await hci.done('DELETE', `/janus/20180725/backup-resources/${lease}`)
})

test('another disk in the place of one: empty, with another serial number, its tracking none the wiser', async () => {
  const other = await hci.createVm('replaced', { virtio0: 4 * MiB })
  await hci.done('PUT', `/janus/20180725/servers/${other}/cbt/status`, { type: 'enable' })
  await hci.done('POST', `/janus/20180725/servers/${other}/start`)
  const guest = await hci.guest(other)
  await guest.write(0, Buffer.alloc(256 * KiB, 7))
  await guest.close()
  const look = async (name: string) => {
    const id = await hci.snapshot(other, name)
    const { data } = await hci.call('GET', `/janus/20180725/servers/${other}/snapshots/${id}`)
    const areasSince = (checkpoint: string) =>
      hci.call(
        'GET',
        `/janus/20180725/servers/${other}/cbt/changed-areas?disk_id=virtio0&snapshot_id=${id}&checkpoint_id=${checkpoint}&start_offset=0`,
      )
    const serial: string = data.vmconf.hardware_option.disks[0].advanced_config.serial_number
    return { id, serial, checkpoint: data.checkpoint_id as string, areasSince }
  }
  const before = await look('before')
  expect((await hci.call('POST', '/varve-test/replace-disk', { vm_id: other, disk_id: 'virtio0' })).status).toBe(409)
  await hci.done('DELETE', `/janus/20180725/servers/${other}/snapshots/${before.id}`)
  expect((await hci.call('POST', '/varve-test/replace-disk', { vm_id: other, disk_id: 'virtio0' })).status).toBe(200)
  const after = await look('after')
  expect(after.serial).not.toBe(before.serial)
  expect((await after.areasSince(before.checkpoint)).data.changed_area).toEqual([])
  const disk = await hci.guest(other)
  const bytes = Buffer.alloc(256 * KiB, 1)
  await disk.readInto(0, bytes)
  await disk.close()
  expect(bytes.every(byte => byte === 0)).toBe(true)
  // It stays what it is.
  await hci.restart()
  expect((await look('later')).serial).toBe(after.serial)
})

test('without the switch there are no faults', async () => {
  const plain = await TestHci.start()
  expect((await plain.call('POST', '/varve-test/faults', { kind: 'http-drop' })).status).toBe(404)
  await plain.close()
})

test.each([
  [{}],
  [{ kind: 'x' }],
  [{ kind: 'nbd', match: { nope: 1 } }],
  [{ kind: 'nbd', count: 0 }],
  [{ kind: 'http-slow', match: { path: '(' } }],
])('the fault %j is refused', async body => {
  expect((await hci.call('POST', '/varve-test/faults', body)).status).toBe(400)
})
