import { join } from 'node:path'
import type { Run } from '@varve/catalog-client'
import { MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startPlatform, startSystem } from '../support/system.ts'

/** Runs that are cut off from outside while blocks are being copied. */

const SIZE = 512 * MiB
let system: System
let vmId: string
let platformVmId: string

beforeAll(async () => {
  system = await startSystem({ platformArgs: ['--faults'] })
  ;({ vmId, platformVmId } = await system.createVm('app-1', [{ id: 'virtio0', size: SIZE }]))
  const disk = await system.guest(platformVmId, 'virtio0')
  for (let offset = 0; offset < SIZE; offset += 4 * MiB) await disk.write(offset, noise(`at ${offset}`, 4 * MiB))
  await disk.close()
}, 60_000)

afterAll(async () => {
  await system?.close()
})

async function startedCopying(): Promise<Run> {
  const started = await system.startBackup(vmId, { full: true })
  for (;;) {
    const run = await system.api<Run>('GET', `/v1/runs/${started.id}`)
    if (run.state === 'copying') return run
    if (run.endedAt !== null) throw new Error(`the run ended before it copied: ${JSON.stringify(run)}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

async function expectNothingLeft(): Promise<void> {
  expect(await system.driver.listSnapshots(platformVmId, 'varve-')).toEqual([])
  const lease = await system.driver.createLease(platformVmId, 'backup', 60)
  await system.driver.releaseLease(lease.id)
}

test('a cancelled run ends as cancelled and leaves nothing', async () => {
  const run = await startedCopying()
  await system.api('POST', `/v1/runs/${run.id}/cancel`, {})
  expect(await system.ended(run)).toMatchObject({ state: 'cancelled', restorePointId: null })
  await expectNothingLeft()
})

test('a second backup of the same VM while one runs is refused', async () => {
  const run = await startedCopying()
  await expect(system.startBackup(vmId)).rejects.toMatchObject({ status: 409 })
  expect(await system.ended(run)).toMatchObject({ state: 'succeeded' })
})

test('the platform is killed -9 in mid-copy and comes back: the run goes on and its point is right', async () => {
  const run = await startedCopying()
  await system.platform.stop('SIGKILL')
  const platform = await startPlatform(join(system.folder, 'platform'), ['--faults'], Number(new URL(system.platform.url).port))
  system.closer.add('platform again', () => platform.stop())
  const ended = await system.ended(run)
  expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded' })
  const restore = await system.restore(ended.restorePointId!, { target: 'new-vm', name: 'app-2', powerOn: true })
  expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
  const [before, after] = await Promise.all([system.guest(platformVmId, 'virtio0'), system.guest(restore.targetPlatformVmId!, 'virtio0')])
  expect(await exportHash(after)).toBe(await exportHash(before))
  await expectNothingLeft()
}, 120_000)
