import type { Run } from '@varve/catalog-client'
import { MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'

/** The platform takes the lease of a run away while blocks are copied. A backup goes on, as long as that is safe; all else ends with LEASE_LOST. */

const SIZE = 512 * MiB
const NOTE = 'The lease was lost and taken again.'
let system: System
let vmId: string
let platformVmId: string

beforeAll(async () => {
  system = await startSystem({ platformArgs: ['--faults'], standalone: { renewSeconds: 2 } })
  ;({ vmId, platformVmId } = await system.createVm('app-1', [{ id: 'virtio0', size: SIZE }]))
  const disk = await system.guest(platformVmId, 'virtio0')
  for (let offset = 0; offset < SIZE; offset += 4 * MiB) await disk.write(offset, noise(`at ${offset}`, 4 * MiB))
  await disk.close()
}, 120_000)

afterAll(async () => {
  await system?.close()
})

const fetched = (run: Run): Promise<Run> => system.api<Run>('GET', `/v1/runs/${run.id}`)

/** Look until the run is as wanted; it must not end before. */
async function until(run: Run, wanted: (run: Run) => boolean | Promise<boolean>, ms = 60_000): Promise<Run> {
  for (const deadline = Date.now() + ms; ; ) {
    const now = await fetched(run)
    if (await wanted(now)) return now
    if (now.endedAt !== null) throw new Error(`the run ended before: ${JSON.stringify(now)}`)
    if (Date.now() > deadline) throw new Error(`not so after ${ms} ms: ${JSON.stringify(now)}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** Slow enough that it still copies when the lease goes. */
async function copying(bytesPerSecond: number | null = 16 * MiB): Promise<Run> {
  await system.api('PATCH', `/v1/platforms/${system.platformId}`, { limits: { bytesPerSecond } })
  return until(await system.startBackup(vmId, { full: true }), ({ state, totals }) => state === 'copying' && totals.read > 0)
}
const loseLease = async (): Promise<void> => {
  expect(await system.platformCall('POST', '/varve-test/faults', { kind: 'lease-lost' })).toMatchObject({ data: { lost: 1 } })
}
const noLimit = (): Promise<unknown> => system.api('PATCH', `/v1/platforms/${system.platformId}`, { limits: { bytesPerSecond: null } })
const leaseOf = async (run: Run): Promise<string | null> => (await system.varve.catalog.getRunForWork(run.id)).resources.leaseId
const anotherLeaseThan = (run: Run, lost: string | null): Promise<Run> => until(run, async () => (await leaseOf(run)) !== lost)

async function expectNothingLeft(): Promise<void> {
  await system.platformCall('DELETE', '/varve-test/faults')
  expect(await system.driver.listSnapshots(platformVmId, 'varve-')).toEqual([])
  const lease = await system.driver.createLease(platformVmId, 'backup', 60)
  await system.driver.releaseLease(lease.id)
}

test('a backup whose lease is lost, and lost again, goes on, and its point is right', async () => {
  const run = await copying()
  for (const _ of ['lost', 'lost again']) {
    const lost = await leaseOf(run)
    await loseLease()
    await anotherLeaseThan(run, lost)
  }
  await noLimit()
  const ended = await system.ended(run)
  expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded', notes: expect.arrayContaining([NOTE]) })
  await expectNothingLeft()
  const restore = await system.restore(ended.restorePointId!, { target: 'new-vm', name: 'app-2', powerOn: true })
  expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
  const [before, after] = await Promise.all([system.guest(platformVmId, 'virtio0'), system.guest(restore.targetPlatformVmId!, 'virtio0')])
  expect(await exportHash(after)).toBe(await exportHash(before))
}, 180_000)

test('a lease that is lost while the run is paused is taken again, and the run goes on when it is resumed', async () => {
  const run = await copying()
  await system.api('POST', `/v1/runs/${run.id}/pause`)
  const lost = await leaseOf(run)
  await loseLease()
  expect(await anotherLeaseThan(run, lost)).toMatchObject({ state: 'copying', paused: true })
  await noLimit()
  await system.api('POST', `/v1/runs/${run.id}/resume`)
  const ended = await system.ended(run)
  expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded', notes: expect.arrayContaining([NOTE]) })
  await expectNothingLeft()
}, 180_000)

test('a lease that somebody else has taken meanwhile ends the run with LEASE_LOST', async () => {
  const run = await copying()
  await loseLease()
  const theirs = await system.driver.createLease(platformVmId, 'backup', 120)
  const ended = await system.ended(run)
  expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'failed', reason: 'LEASE_LOST', restorePointId: null })
  expect(ended.message).toMatch(/cannot be taken again/)
  await system.driver.releaseLease(theirs.id)
  await expectNothingLeft()
}, 180_000)

test('a lost lease of a restore ends it with LEASE_LOST, and the VM that was half made is gone', async () => {
  await noLimit()
  const { items } = await system.api<{ items: { id: string }[] }>('GET', `/v1/vms/${vmId}/points`)
  await system.api('PATCH', `/v1/platforms/${system.platformId}`, { limits: { bytesPerSecond: 16 * MiB } })
  const started = await system.api<Run>('POST', `/v1/restore-points/${items[0]!.id}/restores`, { target: 'new-vm', name: 'app-3' })
  const run = await until(started, ({ state, totals }) => state === 'copying' && totals.written > 0)
  await loseLease()
  const ended = await system.ended(run)
  expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'failed', reason: 'LEASE_LOST' })
  for await (const { name } of system.driver.listVms()) expect(name).not.toBe('app-3')
  await expectNothingLeft()
}, 180_000)
