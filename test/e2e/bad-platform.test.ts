import { MiB } from '@varve/runtime'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startSystem, vmConfig } from '../support/system.ts'

/** What a platform can do wrong, scripted in the reference platform; what the user must see; nothing may be left behind. */

let system: System
let vmId: string
let platformVmId: string
let writes = 0

interface Fault {
  readonly kind: string
  readonly match?: Record<string, unknown>
  readonly count?: number
  readonly params?: Record<string, unknown>
}

const addFault = (fault: Fault): Promise<unknown> => system.platformCall('POST', '/varve-test/faults', fault)

const guestWrites = async (): Promise<void> => {
  const disk = await system.guest(platformVmId, 'virtio0')
  writes += 1
  await disk.write((writes % 40) * MiB, noise(`write ${writes}`, 256 * 1024))
  await disk.close()
}

beforeAll(async () => {
  system = await startSystem({ platformArgs: ['--faults'] })
  ;({ vmId, platformVmId } = await system.createVm('app-1', [{ id: 'virtio0', size: 48 * MiB }]))
  await guestWrites()
  const run = await system.backup(vmId)
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
}, 60_000)

afterAll(async () => {
  await system?.close()
})

/** Nothing of ours is left on the platform, and every point that is offered was sealed by a run that succeeded. */
afterEach(async () => {
  await system.platformCall('DELETE', '/varve-test/faults')
  expect(await system.driver.listSnapshots(platformVmId, 'varve-')).toEqual([])
  const lease = await system.driver.createLease(platformVmId, 'backup', 60)
  await system.driver.releaseLease(lease.id)
  const { items: points } = await system.api<{ items: { runId: string }[] }>('GET', `/v1/vms/${vmId}/points`)
  for (const point of points) expect(await system.api('GET', `/v1/runs/${point.runId}`)).toMatchObject({ state: 'succeeded' })
})

describe('faults that end the run, with a code', () => {
  test.each<[name: string, fault: Fault, code: string]>([
    ['the lease is refused', { kind: 'lease-refused' }, 'LEASE_OCCUPIED'],
    [
      'the snapshot fails as a task',
      { kind: 'task-fail', match: { action: 'snapshot_create' }, params: { message: 'no space for a snapshot' } },
      'TASK_FAILED',
    ],
  ])('%s', async (_name, fault, code) => {
    await guestWrites()
    await addFault(fault)
    const run = await system.ended(await system.startBackup(vmId), 100_000)
    expect(run).toMatchObject({ state: 'failed', reason: code, restorePointId: null })
    expect(run.message).toBeTruthy()
  })
})

describe('changed areas that cannot be true lead to a full of that disk, and it says why', () => {
  test.each(['overlap', 'backwards', 'past-end', 'endless', 'malformed'])('%s', async mode => {
    await guestWrites()
    await addFault({ kind: 'changed-areas', params: { mode }, count: 1 })
    const run = await system.backup(vmId)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
    expect(run.images[0]).toMatchObject({ kind: 'full', reason: 'cbt-invalid' })
  })

  test('tracking has expired: it is reset, and the next backup is an incremental again', async () => {
    // After an answer that was not believed, no checkpoint is trusted until another backup has been made.
    await system.backup(vmId)
    await guestWrites()
    await addFault({ kind: 'cbt-expired', count: 1 })
    const run = await system.backup(vmId)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
    expect(run.images[0]).toMatchObject({ kind: 'full', reason: 'cbt-expired' })
    await guestWrites()
    expect((await system.backup(vmId)).images[0]).toMatchObject({ kind: 'incremental', reason: null })
  })
})

describe('another disk in the slot of one, which the platform tracks on as if it were the same', () => {
  test('a full of that disk, byte for byte; one more, then incrementals again', async () => {
    await guestWrites()
    await system.backup(vmId)
    await system.platformCall('POST', '/varve-test/replace-disk', { vm_id: platformVmId, disk_id: 'virtio0' })
    await guestWrites()
    const run = await system.backup(vmId)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
    expect(run.images[0]).toMatchObject({ kind: 'full', reason: 'disk-replaced' })
    const restore = await system.restore(run.restorePointId!, { target: 'new-vm', name: 'replaced', powerOn: true })
    const disks = await Promise.all([platformVmId, restore.targetPlatformVmId!].map(id => system.guest(id, 'virtio0')))
    const [live, restored] = [await exportHash(disks[0]!), await exportHash(disks[1]!)]
    for (const disk of disks) await disk.close()
    expect(restored).toBe(live)
    await guestWrites()
    expect((await system.backup(vmId)).images[0]).toMatchObject({ kind: 'full', reason: 'cbt-enabled-now' })
    await guestWrites()
    expect((await system.backup(vmId)).images[0]).toMatchObject({ kind: 'incremental', reason: null })
  })
})

describe('passing faults are overcome', () => {
  test.each<[name: string, fault: Fault]>([
    ['429 with Retry-After', { kind: 'http-status', count: 2, params: { status: 429, retry_after: 1 } }],
    ['503 twice', { kind: 'http-status', match: { method: 'GET' }, count: 2, params: { status: 503 } }],
    ['a token that is not valid any more', { kind: 'http-status', count: 1, params: { status: 401 } }],
    ['a connection that is reset', { kind: 'http-drop', match: { method: 'GET' }, count: 1 }],
    ['an NBD connection that drops in mid-reply', { kind: 'nbd', count: 1, params: { mode: 'drop', after_bytes: 100_000 } }],
    ['an NBD server that sends garbage', { kind: 'nbd', count: 1, params: { mode: 'garbage', after_bytes: 100_000 } }],
  ])('%s', async (_name, fault) => {
    await guestWrites()
    await addFault(fault)
    const run = await system.backup(vmId)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  })
})

describe('VMs that cannot be backed up', () => {
  test.each<[name: string, change: Record<string, unknown>]>([
    ['turbo', { advanced_option: { turbo_mode_enabled: true } }],
    ['a backup proxy', { os_name: 'Backup Proxy' }],
  ])('%s: refused with VM_NOT_SUPPORTED', async (name, change) => {
    const id = await system.driver.createVm({ ...vmConfig(name, [{ id: 'virtio0', size: 2 * MiB }]), ...change }, name, `bad-${name}`)
    const run = await system.ended(await system.startBackup(await system.vmId(id)))
    expect(run).toMatchObject({ state: 'failed', reason: 'VM_NOT_SUPPORTED' })
  })

  test.each<[name: string, path: string, data: Record<string, unknown>, code: string]>([
    ['internal snapshots', '/snapshots$', { type: 'qcow2' }, 'VM_NOT_SUPPORTED'],
    ['a disk of 0 bytes', '/servers/[^/]+$', { disks: [{ id: 'virtio0', size_bytes: 0, size_mb: 0, size_gb: 0 }] }, 'DISK_SIZE_INVALID'],
    [
      'a disk whose size is no multiple of 512',
      '/servers/[^/]+$',
      { disks: [{ id: 'virtio0', size_bytes: 1_000_001 }] },
      'DISK_SIZE_INVALID',
    ],
  ])('%s: refused with a code', async (_name, path, data, code) => {
    // The list of snapshots answers an array: one that exists, so that its type can be changed.
    const keep = path.startsWith('/snapshots') ? await system.driver.createSnapshot(platformVmId, 'someone-elses') : undefined
    await addFault({ kind: 'answer-merge', match: { method: 'GET', path }, params: { data } })
    const run = await system.ended(await system.startBackup(vmId))
    await system.platformCall('DELETE', '/varve-test/faults')
    if (keep !== undefined) await system.driver.deleteSnapshot(platformVmId, keep.id)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'failed', reason: code, restorePointId: null })
  })

  test('a shared disk is left out, and the run says so', async () => {
    const disks = [
      { id: 'virtio0', size: 2 * MiB },
      { id: 'virtio1', size: 2 * MiB },
    ]
    const shared = await system.createVm('shared', disks)
    const data = { disks: [{ id: 'virtio1', type: 'share_disk' }] }
    await addFault({ kind: 'answer-merge', match: { method: 'GET', path: `/servers/${shared.platformVmId}$` }, params: { data } })
    const run = await system.backup(shared.vmId)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
    expect(run.images.map(image => image.diskId)).toEqual(['virtio0'])
    expect(run.notes.join('\n')).toContain('virtio1')
  })
})

describe('what a caller does wrong', () => {
  test('wrong credentials are refused when the platform is added', async () => {
    await expect(
      system.api('POST', '/v1/platforms', {
        name: 'wrong',
        kind: 'scp',
        url: system.platform.url,
        credentials: { username: 'backup', password: 'no' },
      }),
    ).rejects.toMatchObject({ code: 'PLATFORM_AUTH_FAILED' })
  })

  test('an unknown VM and an unknown point', async () => {
    const nobody = '00000000-0000-4000-8000-000000000000'
    await expect(system.api('POST', `/v1/vms/${nobody}/backups`, {})).rejects.toMatchObject({ status: 404 })
    await expect(system.api('POST', `/v1/restore-points/${nobody}/restores`, { target: 'new-vm' })).rejects.toMatchObject({ status: 404 })
  })
})
