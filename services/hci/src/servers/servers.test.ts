import { GiB, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newVm, TestHci } from '../testing/test-hci.ts'

let hci: TestHci

beforeAll(async () => {
  hci = await TestHci.start()
})
afterAll(() => hci.close())

const LIST = '/janus/20240725/servers'

test('lists VMs in pages, in both generations of the envelope', async () => {
  for (const i of [1, 2, 3]) await hci.createVm(`list-${i}`)
  const first = await hci.call('GET', `${LIST}?query_name=list-&page_size=2`)
  expect(first.body).toMatchObject({ errcode: '', message: '', data: { total_size: 3, page_num: 0, page_size: 2, next_page_num: '1' } })
  const last = await hci.call('GET', `/janus/20190725/servers?query_name=list-&page_size=2&page_num=1&fields=id,name`)
  expect(last.body).toMatchObject({ code: 0, data: { next_page_num: '' } })
  expect(last.data.data).toEqual([{ id: expect.any(String), name: expect.stringMatching(/^list-/) }])
  for (const bad of ['page_size=101', 'page_size=0', 'page_num=-1', 'page_num=x', 'order_by=UP']) {
    expect((await hci.call('GET', `${LIST}?${bad}`)).status).toBe(400)
  }
  const started = (await hci.call('GET', `${LIST}?query_name=list-1`)).data.data[0]
  await hci.done('POST', '/janus/20180725/servers/action', { server_ids: [started.id], server_action: { start_servers_action: '' } })
  expect((await hci.call('GET', `${LIST}?query_name=list-&status=running`)).data.data).toMatchObject([
    { id: started.id, power_state: 'on' },
  ])
})

test('a VM as it is listed', async () => {
  const id = await hci.createVm('view', { virtio0: 3 * MiB, ide1: MiB })
  const { data } = await hci.call('GET', `${LIST}/${id}`)
  expect(data).toMatchObject({
    id,
    name: 'view',
    status: 'stopped',
    power_state: 'off',
    type: 'hci',
    vmtype: 'vm',
    application: 'compute',
    turbo_mode_enabled: false,
    os_name: 'Debian',
    task_id: '',
    disks: [
      { id: 'virtio0', type: 'new_disk', size_mb: 3, size_bytes: 3 * MiB },
      { id: 'ide1', type: 'new_disk', size_mb: 1, size_bytes: MiB },
    ],
  })
})

test('the marks that bar a VM from agentless backup can be set', async () => {
  const disks = [{ device_id: 'virtio0', size_bytes: MiB, type: 'share_disk' }]
  const id = await hci.createVm(
    'barred',
    {},
    {
      vmtype: 'dmp_mysql',
      os_name: 'Backup Proxy',
      application: 'DESK_SCENARIO',
      revert_mode: 1,
      advanced_option: { turbo_mode_enabled: 1 },
      hardware_option: { disks },
    },
  )
  expect((await hci.call('GET', `${LIST}/${id}`)).data).toMatchObject({
    vmtype: 'dmp_mysql',
    os_name: 'Backup Proxy',
    application: 'desk',
    revert_mode: 1,
    turbo_mode_enabled: true,
    disks: [{ type: 'share_disk' }],
  })
})

test('a saved configuration makes the same VM again, with what we do not know', async () => {
  const original = await hci.createVm('saved', { virtio0: 2 * MiB }, { label_ids: ['l1'], made_up: { kept: [1, { deep: true }] } })
  const snapshot = await hci.snapshot(original, 's')
  const { vmconf } = (await hci.call('GET', `/janus/20240725/servers/${original}/snapshots/${snapshot}`)).data
  expect(vmconf).toMatchObject({ name: 'saved', hardware_option: { disks: [{ device_id: 'virtio0', size_bytes: 2 * MiB }] } })
  const { uuid } = await hci.done('POST', '/janus/20180725/servers/config', { ...vmconf, name: 'again', az_id: 'az-varve-1' })
  const again = await hci.snapshot(uuid, 's')
  const second = (await hci.call('GET', `/janus/20180725/servers/${uuid}/snapshots/${again}`)).data.vmconf
  // Disks of its own: their serial numbers differ.
  const [disk] = vmconf.hardware_option.disks
  const disks = [{ ...disk, advanced_config: { serial_number: expect.any(String) } }]
  expect(second).toEqual({ ...vmconf, name: 'again', hardware_option: { ...vmconf.hardware_option, disks } })
  expect(second.hardware_option.disks[0].advanced_config).not.toEqual(disk.advanced_config)
})

test('an edit changes only what it names; disks grow and are added', async () => {
  const id = await hci.createVm('edit', { virtio0: MiB }, { description: 'before' })
  const config = `/janus/20180725/servers/${id}/config`
  await hci.done('PUT', config, {
    name: 'edited',
    hardware_option: {
      disks: [
        { device_id: 'virtio0', size_bytes: 2 * MiB },
        { device_id: 'virtio1', size_gb: 1 },
      ],
    },
  })
  expect((await hci.call('GET', `${LIST}/${id}`)).data).toMatchObject({
    name: 'edited',
    description: 'before',
    disks: [{ size_bytes: 2 * MiB }, { size_bytes: GiB }],
  })
  await hci.snapshot(id, 's')
  const refused = await hci.call('PUT', config, { hardware_option: { disks: [{ device_id: 'virtio0', size_bytes: 3 * MiB }] } })
  expect(refused.data.error).toBe('VM_HAS_SNAPSHOTS')
  expect((await hci.call('PUT', config, { name: 'view' })).data.error).toBe('NAME_TAKEN')
  expect((await hci.call('PUT', config, { hardware_option: { disks: [{ device_id: 'virtio5' }] } })).data.error).toBe('DISK_SIZE_INVALID')
})

test.each([
  ['no name', { name: undefined }, 400],
  ['a name with a slash', { name: 'a/b' }, 400],
  ['a taken name', { name: 'view' }, 409],
  ['no datastore', { datastore_id: undefined }, 400],
  ['another datastore', { datastore_id: 'x' }, 404],
  ['another pool', { az_id: 'x' }, 404],
  ['an odd disk', { hardware_option: { disks: [{ device_id: 'virtio0', size_bytes: MiB + 1 }] } }, 400],
  ['an empty disk', { hardware_option: { disks: [{ device_id: 'virtio0', size_bytes: 0 }] } }, 400],
  ['hardware that is a list', { hardware_option: [] }, 400],
])('a VM with %s is refused', async (_, change, status) => {
  const answer = await hci.call('POST', '/janus/20180725/servers/config', newVm(`refused-${Math.random()}`, { virtio0: MiB }, change))
  expect(answer.status).toBe(status)
  expect(answer.body.code).toBe(status)
})

test('the same client token makes one VM, even over a restart', async () => {
  const headers = { 'x-client-token': 'b3a1d2c4' }
  const body = newVm('once', { virtio0: MiB })
  const create = () => hci.call('POST', '/janus/20180725/servers/config', body, headers)
  const both = await Promise.all([create(), create()])
  expect(both[0]?.data).toEqual(both[1]?.data)
  await hci.ended(both[0]?.data.task_id)
  await hci.restart()
  const later = await create()
  expect(later.data.uuid).toBe(both[0]?.data.uuid)
  expect((await hci.ended(later.data.task_id)).status).toBe('finish')
  const other = await hci.call('POST', '/janus/20180725/servers/config', { ...body, name: 'other' }, headers)
  expect(other.status).toBe(400)
})

test('of two VMs created at once with one name, one comes to be', async () => {
  const answers = await Promise.all([1, 2].map(() => hci.call('POST', '/janus/20180725/servers/config', newVm('twin', { virtio0: MiB }))))
  const ends = await Promise.all(answers.map(async a => (a.status === 409 ? 'failure' : (await hci.ended(a.data.task_id)).status)))
  expect(ends.sort()).toEqual(['failure', 'finish'])
  expect((await hci.call('GET', `${LIST}?query_name=twin`)).data.total_size).toBe(1)
})

test('power: start, stop and again, reboot, suspend; a running VM is not deleted', async () => {
  const id = await hci.createVm('power')
  const base = `/janus/20180725/servers/${id}`
  const status = async () => (await hci.call('GET', `${LIST}/${id}`)).data.status
  expect((await hci.call('POST', `${base}/reboot`)).status).toBe(409)
  await hci.done('POST', `${base}/start`)
  await hci.done('POST', `${base}/start`)
  expect(await status()).toBe('running')
  await hci.done('POST', `${base}/reboot`)
  await hci.done('POST', `${base}/suspend`)
  expect(await status()).toBe('suspended')
  await hci.done('POST', `${base}/start`)
  expect(await status()).toBe('running')
  expect((await hci.call('DELETE', base, { force: 1 })).data.error).toBe('VM_NOT_OFF')
  await hci.done('POST', `${base}/stop`, { force: 0 })
  expect((await hci.call('GET', `${base}/status`)).data).toEqual({ id, status: 'stopped', power_state: 'off' })
  await hci.done('DELETE', base, { force: 1 })
  expect((await hci.call('GET', `${LIST}/${id}`)).body).toMatchObject({ errcode: '404', data: { error: 'VM_NOT_FOUND' } })
})

test('guests reach live disks while the VM runs, by name and by id, and are cut off when it stops', async () => {
  const id = await hci.createVm('guest')
  await expect(hci.guest('guest')).rejects.toMatchObject({ code: 'NBD_REFUSED' })
  await hci.done('POST', `/janus/20180725/servers/${id}/start`)
  const byName = await hci.guest('guest')
  await byName.write(0, Buffer.from('hello'), { fua: true })
  const byId = await hci.guest(id)
  const text = Buffer.alloc(5)
  await byId.readInto(0, text)
  expect(text.toString()).toBe('hello')
  await hci.done('POST', `/janus/20180725/servers/${id}/stop`)
  await expect(byName.readInto(0, text)).rejects.toThrow()
  await expect(byId.readInto(0, text)).rejects.toThrow()
  await Promise.all([byName.close(), byId.close()])
  for (const name of ['nope/virtio0', 'guest/virtio9', 'guest', '']) {
    await expect(hci.guest(name.split('/')[0] ?? '', name.split('/')[1] ?? '')).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN' })
  }
})

test('pickers have one of each', async () => {
  for (const path of ['20180725/azs', '20210725/clusters', '20240725/hosts', '20200725/storages', '20180725/storages?type=local']) {
    expect((await hci.call('GET', `/janus/${path}`)).data.total_size).toBe(1)
  }
  expect((await hci.call('GET', '/janus/20200725/storages?type=nfs')).data.total_size).toBe(0)
  expect((await hci.call('GET', '/janus/20180725/platform')).data.version).toContain('6.10.0')
})
