import { KiB, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestHci } from '../testing/test-hci.ts'

const GRANULE = 64 * KiB
const SIZE = 4 * MiB

let hci: TestHci
let vm: string

beforeAll(async () => {
  hci = await TestHci.start({ changedAreasPerPage: 2 })
  vm = await hci.createVm('cycle', { virtio0: SIZE, virtio1: MiB + 512 })
  await hci.done('POST', `/janus/20180725/servers/${vm}/start`)
})
afterAll(() => hci.close())

function bytes(length: number, value: number): Buffer {
  return Buffer.alloc(length, value)
}

async function fill(offset: number, length: number, value: number): Promise<void> {
  const guest = await hci.guest('cycle')
  await guest.write(offset, bytes(length, value), { fua: true })
  await guest.close()
}

/** All pages, put together as a client does. */
async function changed(
  snapshotId: string,
  checkpoint: string,
  diskId = 'virtio0',
  size = SIZE,
): Promise<{ start: number; length: number }[]> {
  const areas: { start: number; length: number }[] = []
  let offset = 0
  while (offset < size) {
    const query = `disk_id=${diskId}&snapshot_id=${snapshotId}&checkpoint_id=${checkpoint}&start_offset=${offset}`
    const { status, body, data } = await hci.call('GET', `/janus/20180725/servers/${vm}/cbt/changed-areas?${query}`)
    if (status !== 200) throw new Error(JSON.stringify(body))
    expect(data.start_offset).toBe(offset)
    expect(data.changed_area.length).toBeLessThanOrEqual(2)
    areas.push(...data.changed_area)
    offset += data.length
  }
  return areas
}

async function checkpointOf(snapshotId: string): Promise<string> {
  const { data } = await hci.call('GET', `/janus/20180725/servers/${vm}/snapshots/${snapshotId}`)
  return data.checkpoint_id
}

async function readAt(lease: string, snapshotId: string, offset: number, length: number): Promise<Buffer> {
  const disk = await hci.leased(lease, snapshotId, 'virtio0')
  try {
    const target = Buffer.alloc(length)
    await disk.readInto(offset, target)
    return target
  } finally {
    await disk.close()
  }
}

test('a full and an incremental: write, snapshot, changed areas, read the snapshot, delete it', async () => {
  // CBT off: the snapshot has no checkpoint.
  const status = `/janus/20180725/servers/${vm}/cbt/status`
  expect((await hci.call('GET', status)).data).toEqual({
    server_id: vm,
    is_enabled: false,
    disks: [
      { id: 'virtio0', is_enabled: false },
      { id: 'virtio1', is_enabled: false },
    ],
  })
  await fill(0, 10, 1)
  await hci.done('PUT', status, { type: 'enable' })
  expect((await hci.call('GET', status)).data).toMatchObject({ is_enabled: true, disks: [{ is_enabled: true }, { is_enabled: true }] })

  // t0: everything allocated, before and after CBT was switched on.
  for (const granule of [2, 4, 6, 8]) await fill(granule * GRANULE, GRANULE, 1)
  const s0 = await hci.snapshot(vm, 't0')
  const c0 = await checkpointOf(s0)
  expect(BigInt(c0)).toBeGreaterThan(2n ** 32n)
  expect(await changed(s0, '0')).toEqual([0, 2, 4, 6, 8].map(g => ({ start: g * GRANULE, length: GRANULE })))
  expect(await changed(s0, '0', 'virtio1', MiB + 512)).toEqual([])

  // The guest writes on while t0 is read.
  const lease = await hci.lease(vm, 'backup')
  await fill(2 * GRANULE, 5, 9)
  await fill(20 * GRANULE, 5, 9)
  expect(await readAt(lease, s0, 2 * GRANULE, GRANULE)).toEqual(bytes(GRANULE, 1))
  expect(await readAt(lease, s0, 20 * GRANULE, 5)).toEqual(bytes(5, 0))
  const disk = await hci.leased(lease, s0, 'virtio0')
  expect(disk).toMatchObject({ readOnly: true, size: SIZE })
  await expect(disk.write(0, bytes(1, 1))).rejects.toThrow()
  await disk.close()
  await hci.done('DELETE', `/janus/20180725/backup-resources/${lease}`)
  await hci.done('DELETE', `/janus/20180725/servers/${vm}/snapshots/${s0}`)

  // t1: what changed since t0, also after its snapshot is gone, and the merge kept what the guest wrote.
  const s1 = await hci.snapshot(vm, 't1')
  expect(await changed(s1, c0)).toEqual([2, 20].map(g => ({ start: g * GRANULE, length: GRANULE })))
  expect(BigInt(await checkpointOf(s1))).toBe(BigInt(c0) + 1n)
  const guest = await hci.guest(vm)
  const now = Buffer.alloc(10)
  await guest.readInto(2 * GRANULE, now)
  expect(now).toEqual(Buffer.concat([bytes(5, 9), bytes(5, 1)]))
  await guest.close()
  await hci.done('POST', `/janus/20180725/servers/${vm}/snapshots/action`, { action: 'delete', snapshot_ids: [s1] })
  expect((await hci.call('GET', `/janus/20210725/servers/${vm}/snapshots`)).data).toEqual([])

  // A reset makes old checkpoints useless, and says so in the words that applications look for.
  await hci.done('PUT', status, { type: 'reset', disk_ids: ['virtio1'] })
  const s2 = await hci.snapshot(vm, 't2')
  const query = `disk_id=virtio0&snapshot_id=${s2}&checkpoint_id=${c0}&start_offset=0`
  const expired = await hci.call('GET', `/janus/20180725/servers/${vm}/cbt/changed-areas?${query}`)
  expect(expired.status).toBe(409)
  expect(expired.body).toMatchObject({ message: 'The VM CBT has expired. Please reset it.', data: { error: 'CBT_EXPIRED' } })
  expect((await changed(s2, '0')).length).toBeGreaterThan(0)
  await hci.done('PUT', status, { type: 'disable', disk_ids: ['virtio1'] })
  expect((await hci.call('GET', status)).data).toMatchObject({ is_enabled: true, disks: [{ is_enabled: true }, { is_enabled: false }] })
})

test.each([
  ['an unknown disk', { disk_id: 'ide9' }, 404],
  ['an unknown snapshot', { snapshot_id: 'x' }, 404],
  ['a negative checkpoint', { checkpoint_id: '-1' }, 400],
  ['a checkpoint that is no number', { checkpoint_id: '1e3' }, 400],
  ['a start past the end', { start_offset: String(SIZE + 1) }, 400],
  ['no start', { start_offset: '' }, 400],
])('changed areas with %s are refused', async (_, change, status) => {
  const s = await hci.snapshot(vm, `bad-${Math.random()}`)
  const query = new URLSearchParams({ disk_id: 'virtio0', snapshot_id: s, checkpoint_id: '0', start_offset: '0', ...change })
  const answer = await hci.call('GET', `/janus/20180725/servers/${vm}/cbt/changed-areas?${query}`)
  expect(answer.status).toBe(status)
  await hci.done('DELETE', `/janus/20180725/servers/${vm}/snapshots/${s}`)
})

test('the very end is an empty answer', async () => {
  const s = await hci.snapshot(vm, 'end')
  const query = `disk_id=virtio0&snapshot_id=${s}&checkpoint_id=0&start_offset=${SIZE}`
  const { data } = await hci.call('GET', `/janus/20180725/servers/${vm}/cbt/changed-areas?${query}`)
  expect(data).toEqual({ changed_area: [], start_offset: SIZE, length: 0 })
})
