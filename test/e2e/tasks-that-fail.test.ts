import type { Run } from '@varve/catalog-client'
import { MiB } from '@varve/runtime'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'

/** Tasks of the platform that fail or take long around the ends of runs: every run ends all the same, and leaves nothing. */

let system: System
let vmId: string
let platformVmId: string
let pointId: string

const addFault = (kind: string, action: string, params: Record<string, unknown>): Promise<unknown> =>
  system.platformCall('POST', '/varve-test/faults', { kind, match: { action }, params })

beforeAll(async () => {
  system = await startSystem({ platformArgs: ['--faults'] })
  ;({ vmId, platformVmId } = await system.createVm('app-1', [{ id: 'virtio0', size: 16 * MiB }]))
  const disk = await system.guest(platformVmId, 'virtio0')
  await disk.write(0, noise('data', 2 * MiB))
  await disk.close()
  const run = await system.backup(vmId)
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  pointId = run.restorePointId!
}, 60_000)

afterAll(async () => {
  await system?.close()
})

afterEach(async () => {
  await system.platformCall('DELETE', '/varve-test/faults')
  expect(await system.driver.listSnapshots(platformVmId, 'varve-')).toEqual([])
  const lease = await system.driver.createLease(platformVmId, 'backup', 60)
  await system.driver.releaseLease(lease.id)
})

test('a restored VM that the platform cannot power on: the restore has succeeded, with a note, and the next backup runs', async () => {
  await system.driver.power(platformVmId, 'off')
  await addFault('task-fail', 'server_start', { message: 'no memory left on the host' })
  const run = await system.restore(pointId, { target: 'original', powerOn: true })
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  expect(run.notes).toEqual([expect.stringContaining('no memory left on the host')])
  await system.platformCall('DELETE', '/varve-test/faults')
  await system.driver.power(platformVmId, 'on')
  expect(await system.backup(vmId)).toMatchObject({ state: 'succeeded' })
})

test('a new VM that the platform cannot make: the restore fails, says why, and there is no VM', async () => {
  await addFault('task-fail', 'server_create', { message: 'no space for the disks' })
  const run = await system.restore(pointId, { target: 'new-vm', name: 'app-2' })
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'failed', reason: 'TASK_FAILED' })
  expect(run.message).toContain('no space for the disks')
  const names: string[] = []
  for await (const vm of system.driver.listVms()) names.push(vm.name)
  expect(names).toEqual(['app-1'])
})

test('cancelled and restarted while the platform takes the snapshot: it is waited for and deleted', async () => {
  await addFault('task-slow', 'snapshot_create', { ms: 6000 })
  const started = await system.startBackup(vmId)
  while (!(await system.driver.getVm(platformVmId)).busy) await new Promise(resolve => setTimeout(resolve, 20))
  await system.api('POST', `/v1/runs/${started.id}/cancel`, {})
  await system.restartVarve()
  expect(await system.ended(started as Run)).toMatchObject({ state: 'cancelled', restorePointId: null })
  const { busy } = await system.driver.getVm(platformVmId)
  expect(busy).toBe(false)
})

test('restarted while the platform takes the snapshot: the run goes on with that snapshot', async () => {
  await addFault('task-slow', 'snapshot_create', { ms: 6000 })
  const disk = await system.guest(platformVmId, 'virtio0')
  await disk.write(8 * MiB, noise('more', MiB))
  const started = await system.startBackup(vmId)
  while (!(await system.driver.getVm(platformVmId)).busy) await new Promise(resolve => setTimeout(resolve, 20))
  await system.restartVarve()
  const run = await system.ended(started as Run)
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  const restore = await system.restore(run.restorePointId!, { target: 'new-vm', name: 'app-3', powerOn: true })
  expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
  const copy = await system.guest(restore.targetPlatformVmId!, 'virtio0')
  expect(await exportHash(copy)).toBe(await exportHash(disk))
  // The platform knows which run made it, for as long as the VM lives.
  expect((await system.driver.getVm(restore.targetPlatformVmId!)).description).toContain(restore.id)
})
