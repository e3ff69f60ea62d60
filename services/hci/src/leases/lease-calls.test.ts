import { MiB, sleep } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestHci } from '../testing/test-hci.ts'

const RESOURCES = '/janus/20180725/backup-resources'
let hci: TestHci

beforeAll(async () => {
  hci = await TestHci.start({ lockTime: { minimum: 1 } })
})
afterAll(() => hci.close())

test('a backup lease counts down, is renewed, released, and gives access only meanwhile', async () => {
  const vm = await hci.createVm('lease-life')
  const snapshot = await hci.snapshot(vm, 's')
  const lease = await hci.lease(vm, 'backup', 100)
  expect(lease).toMatch(/^[0-9a-f-]{36}:[0-9a-f-]{36}$/)
  const before = (await hci.call('GET', `${RESOURCES}/${lease}`)).data
  expect(before).toMatchObject({
    server_id: vm,
    status: 'running',
    data_access: { transport: 'nbd', host: '127.0.0.1', port: hci.hci.backupNbd.port },
  })
  expect(before.data_access.secret).toMatch(/^[\w-]{43}$/)
  expect(before.remain_time).toBeGreaterThan(97)
  await hci.done('PUT', `${RESOURCES}/${lease}`, { lock_time: 7200 })
  expect((await hci.call('GET', `${RESOURCES}/${encodeURIComponent(lease)}`)).data.remain_time).toBeGreaterThan(7100)

  const disk = await hci.leased(lease, snapshot, 'virtio0')
  await disk.readInto(0, Buffer.alloc(512))
  await hci.done('DELETE', `${RESOURCES}/${lease}`)
  await expect(disk.readInto(0, Buffer.alloc(512))).rejects.toThrow()
  await disk.close()
  expect((await hci.call('GET', `${RESOURCES}/${lease}`)).data).toMatchObject({ status: 'released', remain_time: 0, data_access: null })
  expect((await hci.call('PUT', `${RESOURCES}/${lease}`, { lock_time: 100 })).status).toBe(404)
  // Once more is fine.
  await hci.done('DELETE', `${RESOURCES}/${lease}`)
})

test('a lease that nobody renews expires: the lock is gone and the disk closed', async () => {
  const vm = await hci.createVm('lease-expires')
  const snapshot = await hci.snapshot(vm, 's')
  const lease = await hci.lease(vm, 'backup', 3)
  const disk = await hci.leased(lease, snapshot, 'virtio0')
  while ((await hci.call('GET', `${RESOURCES}/${lease}`)).data.status === 'running') await sleep(50)
  await expect(disk.readInto(0, Buffer.alloc(512))).rejects.toThrow()
  await disk.close()
  expect((await hci.call('GET', `${RESOURCES}/${lease}`)).data.status).toBe('expired')
  await hci.lease(vm, 'backup')
})

test('a second lease on the VM is refused as occupied', async () => {
  const vm = await hci.createVm('lease-occupied')
  await hci.lease(vm, 'backup')
  for (const type of ['backup', 'restore']) {
    const second = await hci.call('POST', RESOURCES, { server_id: vm, type, lock_time: 60 })
    expect(second.status).toBe(409)
    expect(second.body.message).toContain('occupied')
  }
})

test('what a lease locks', async () => {
  const vm = await hci.createVm('lease-locks')
  const [read, other] = [await hci.snapshot(vm, 'read'), await hci.snapshot(vm, 'other')]
  const lease = await hci.lease(vm, 'backup')
  const disk = await hci.leased(lease, read, 'virtio0')
  await disk.close()
  expect((await hci.call('DELETE', `/janus/20180725/servers/${vm}/snapshots/${read}`)).data.error).toBe('SNAPSHOT_IN_USE')
  expect((await hci.call('DELETE', `/janus/20180725/servers/${vm}`)).data.error).toBe('VM_LEASED')
  await hci.done('DELETE', `/janus/20180725/servers/${vm}/snapshots/${other}`)
  // A backup does not keep the VM from being started.
  await hci.done('POST', `/janus/20180725/servers/${vm}/start`)
  await hci.done('DELETE', `${RESOURCES}/${lease}`)
  await hci.done('DELETE', `/janus/20180725/servers/${vm}/snapshots/${read}`)
})

test('a restore lease: only while the VM is off, writes the disk, keeps the VM off', async () => {
  const vm = await hci.createVm('lease-restore')
  const start = `/janus/20180725/servers/${vm}/start`
  await hci.done('POST', start)
  const early = await hci.call('POST', RESOURCES, { server_id: vm, type: 'restore', lock_time: 60 })
  expect(early.data.error).toBe('VM_NOT_OFF')
  await hci.done('POST', `/janus/20180725/servers/${vm}/stop`, { force: 1 })

  const lease = await hci.lease(vm, 'restore')
  const disk = await hci.leased(lease, 'virtio0')
  expect(disk.readOnly).toBe(false)
  await disk.write(512, Buffer.from('restored'), { fua: true })
  await disk.close()
  expect((await hci.call('POST', start)).data.error).toBe('VM_LEASED')
  expect((await hci.call('POST', `/janus/20190725/servers/${vm}/snapshots`, { name: 'x' })).data.error).toBe('VM_LEASED')
  await expect(hci.guest(vm)).rejects.toMatchObject({ code: 'NBD_REFUSED' })
  await hci.done('DELETE', `${RESOURCES}/${lease}`)
  await hci.done('POST', start)
  const guest = await hci.guest(vm)
  const text = Buffer.alloc(8)
  await guest.readInto(512, text)
  expect(text.toString()).toBe('restored')
  await guest.close()
})

test('wrong export names are all unknown alike', async () => {
  const vm = await hci.createVm('lease-names')
  const stranger = await hci.createVm('lease-stranger')
  const snapshot = await hci.snapshot(vm, 's')
  const foreign = await hci.snapshot(stranger, 's')
  const lease = await hci.lease(vm, 'backup')
  for (const parts of [
    ['virtio0'],
    [snapshot],
    [snapshot, 'virtio9'],
    [foreign, 'virtio0'],
    ['x', 'virtio0'],
    [snapshot, 'virtio0', 'x'],
    ['..', 'virtio0'],
    [],
  ]) {
    await expect(hci.leased(lease, ...parts)).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN' })
  }
})

test('a lease lives on through a restart of the platform', async () => {
  const vm = await hci.createVm('lease-restart')
  const snapshot = await hci.snapshot(vm, 's')
  const lease = await hci.lease(vm, 'backup')
  const secret = (await hci.call('GET', `${RESOURCES}/${lease}`)).data.data_access.secret
  await hci.restart()
  const after = (await hci.call('GET', `${RESOURCES}/${lease}`)).data
  expect(after).toMatchObject({ status: 'running', data_access: { secret } })
  const disk = await hci.leased(lease, snapshot, 'virtio0')
  expect(disk.size).toBe(MiB)
  await disk.close()
  expect((await hci.call('POST', RESOURCES, { server_id: vm, type: 'backup', lock_time: 60 })).status).toBe(409)
})

test.each([
  [{ type: 'backup', lock_time: 60 }],
  [{ server_id: 'V', lock_time: 60 }],
  [{ server_id: 'V', type: 'copy', lock_time: 60 }],
  [{ server_id: 'V', type: 'backup' }],
  [{ server_id: 'V', type: 'backup', lock_time: 0 }],
  [{ server_id: 'V', type: 'backup', lock_time: 7201 }],
  [{ server_id: 'V', type: 'backup', lock_time: '60' }],
  [{ server_id: 'V', type: 'backup', lock_time: 60.5 }],
  [{ server_id: 5, type: 'backup', lock_time: 60 }],
])('a lease of %j is refused', async body => {
  expect((await hci.call('POST', RESOURCES, body)).status).toBe(400)
})

test('unknown VM and unknown lease', async () => {
  expect((await hci.call('POST', RESOURCES, { server_id: 'nope', type: 'backup', lock_time: 60 })).status).toBe(404)
  expect((await hci.call('GET', `${RESOURCES}/nope`)).data.error).toBe('LEASE_NOT_FOUND')
  expect((await hci.call('DELETE', `${RESOURCES}/nope`)).status).toBe(404)
  expect((await hci.call('GET', `${RESOURCES}/supports?server_id=nope`)).status).toBe(404)
  const vm = await hci.createVm('lease-supports')
  expect((await hci.call('GET', `${RESOURCES}/supports?server_id=${vm}`)).data).toEqual({
    versions: ['6.10.0'],
    transport_modes: ['nbd', 'nbd_ssl'],
  })
})
