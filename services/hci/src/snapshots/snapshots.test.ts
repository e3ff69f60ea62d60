import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestHci } from '../testing/test-hci.ts'

let hci: TestHci

beforeAll(async () => {
  hci = await TestHci.start({ faults: true })
})
afterAll(() => hci.close())

test('list and detail', async () => {
  const vm = await hci.createVm('snap-list')
  const first = await hci.snapshot(vm, 'first')
  const second = await hci.snapshot(vm, 'second')
  const list = await hci.call('GET', `/janus/20210725/servers/${vm}/snapshots`)
  expect(list.data).toMatchObject([
    {
      id: first,
      name: 'first',
      type: 'external_qcow2',
      is_latest: false,
      parent_id: '',
      is_protected: 0,
      disks: [{ id: 'virtio0', size: 1048576 }],
    },
    { id: second, name: 'second', is_latest: true, parent_id: first },
  ])
  const old = await hci.call('GET', `/janus/20180725/servers/${vm}/snapshots/${first}`)
  expect(old.body).toMatchObject({ code: 0, data: { id: first, checkpoint_id: '0', vmconf: { name: 'snap-list' } } })
  expect((await hci.call('GET', `/janus/20240725/servers/${vm}/snapshots/${first}`)).body).toMatchObject({ errcode: '', data: old.data })
})

test('an edited name and protection', async () => {
  const vm = await hci.createVm('snap-edit')
  const id = await hci.snapshot(vm, 'before')
  const path = `/janus/20180725/servers/${vm}/snapshots/${id}`
  await hci.done('PUT', path, { name: 'after', description: 'kept', is_protected: 1 })
  expect((await hci.call('GET', path)).data).toMatchObject({ name: 'after', description: 'kept', is_protected: 1 })
  expect((await hci.call('DELETE', path)).data.error).toBe('SNAPSHOT_PROTECTED')
  await hci.done('PUT', path, { name: 'after', is_protected: 0 })
  await hci.done('DELETE', path)
  expect((await hci.call('DELETE', path)).data.error).toBe('SNAPSHOT_NOT_FOUND')
})

test('a VM with an internal snapshot goes on making internal ones', async () => {
  const vm = await hci.createVm('snap-internal')
  await hci.done('POST', `/janus/20190725/servers/${vm}/snapshots`, { name: 'a', snap_type: 'qcow2' })
  await hci.snapshot(vm, 'b')
  const { data } = await hci.call('GET', `/janus/20210725/servers/${vm}/snapshots`)
  expect(data).toMatchObject([{ type: 'qcow2' }, { type: 'qcow2' }])
})

test.each([[{}], [{ name: 'current' }], [{ name: '' }], [{ name: 'x'.repeat(91) }], [{ name: 5 }], [{ name: 'x', snap_type: 'zfs' }]])(
  'a snapshot of %j is refused',
  async body => {
    const vm = (await hci.call('GET', '/janus/20240725/servers?query_name=snap-list')).data.data[0].id
    expect((await hci.call('POST', `/janus/20190725/servers/${vm}/snapshots`, body)).status).toBe(400)
  },
)

test('recovery brings data and configuration back', async () => {
  const vm = await hci.createVm('snap-revert', { virtio0: 1048576 }, { description: 'old' })
  const write = async (text: string) => {
    await hci.done('POST', `/janus/20180725/servers/${vm}/start`)
    const guest = await hci.guest(vm)
    await guest.write(0, Buffer.from(text), { fua: true })
    await guest.close()
    await hci.done('POST', `/janus/20180725/servers/${vm}/stop`)
  }
  await write('old')
  const id = await hci.snapshot(vm, 's')
  await hci.done('PUT', `/janus/20180725/servers/${vm}/config`, { description: 'new' })
  await write('new')
  const recovery = `/janus/20180725/servers/${vm}/snapshots/${id}/recovery`
  await hci.done('POST', `/janus/20180725/servers/${vm}/start`)
  expect((await hci.call('POST', recovery, { backup: 0 })).data.error).toBe('VM_NOT_OFF')
  await hci.done('POST', `/janus/20180725/servers/${vm}/stop`)
  const path = `/janus/20180725/servers/${vm}/snapshots/${id}`
  await hci.done('PUT', path, { name: 'renamed' })
  const newer = await hci.snapshot(vm, 'newer')
  await hci.done('PUT', `/janus/20180725/servers/${vm}/snapshots/${newer}`, { name: 'newer', is_protected: 1 })
  expect((await hci.call('POST', recovery, { backup: 0 })).data.error).toBe('SNAPSHOT_PROTECTED')
  await hci.done('PUT', `/janus/20180725/servers/${vm}/snapshots/${newer}`, { name: 'newer', is_protected: 0 })
  expect((await hci.call('POST', recovery, { backup: 1 })).status).toBe(400)
  await hci.done('POST', recovery, { backup: 0, power_on: 1 })
  // The newer one is gone, the one we went back to has its id and name still.
  expect((await hci.call('GET', `/janus/20210725/servers/${vm}/snapshots`)).data).toMatchObject([{ id, name: 'renamed' }])
  expect((await hci.call('GET', `/janus/20240725/servers/${vm}`)).data).toMatchObject({ status: 'running', description: 'old' })
  const guest = await hci.guest(vm)
  const text = Buffer.alloc(3)
  await guest.readInto(0, text)
  await guest.close()
  expect(text.toString()).toBe('old')
})

test('one operation at a time: a VM with a running task is busy, and shows the task', async () => {
  const vm = await hci.createVm('snap-busy')
  await hci.call('POST', '/varve-test/faults', {
    kind: 'task-slow',
    match: { action: 'snapshot_create', vm_id: vm },
    count: 1,
    params: { ms: 1500 },
  })
  const { data } = await hci.call('POST', `/janus/20190725/servers/${vm}/snapshots`, { name: 'slow' })
  expect((await hci.call('GET', `/janus/20180725/tasks/${data.task_id}`)).data).toMatchObject({
    status: 'doing',
    action: 'snapshot_create',
    object_id: vm,
  })
  expect((await hci.call('GET', `/janus/20240725/servers/${vm}`)).data.task_id).toBe(data.task_id)
  const second = await hci.call('POST', `/janus/20190725/servers/${vm}/snapshots`, { name: 'second' })
  expect(second.status).toBe(409)
  expect(second.body.message).toContain('in progress')
  expect((await hci.call('POST', '/janus/20180725/backup-resources', { server_id: vm, type: 'backup', lock_time: 60 })).status).toBe(201)
  expect(await hci.ended(data.task_id)).toMatchObject({ status: 'finish', progress: 100 })
})
