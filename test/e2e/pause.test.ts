import type { Run } from '@varve/catalog-client'
import { MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'

/** A run is held while its disk is read: nothing moves, the lease stays, and it goes on where it was. */

const SIZE = 768 * MiB
let system: System
let vmId: string
let platformVmId: string

beforeAll(async () => {
  system = await startSystem({ standalone: { renewSeconds: 1 } })
  ;({ vmId, platformVmId } = await system.createVm('app-1', [{ id: 'virtio0', size: SIZE }]))
  const disk = await system.guest(platformVmId, 'virtio0')
  for (let offset = 0; offset < SIZE; offset += 4 * MiB) await disk.write(offset, noise(`at ${offset}`, 4 * MiB))
  await disk.close()
  await limit(24 * MiB)
}, 120_000)

afterAll(async () => {
  await system?.close()
})

const limit = (bytesPerSecond: number | null): Promise<unknown> =>
  system.api('PATCH', `/v1/platforms/${system.platformId}`, { limits: { bytesPerSecond } })
const seconds = (n: number): Promise<void> => new Promise(resolve => setTimeout(resolve, n * 1000))

async function until(run: Run, wanted: (run: Run) => boolean, ms = 60_000): Promise<Run> {
  for (const deadline = Date.now() + ms; ; ) {
    const now = await system.api<Run>('GET', `/v1/runs/${run.id}`)
    if (wanted(now)) return now
    if (now.endedAt !== null) throw new Error(`the run ended before: ${JSON.stringify(now)}`)
    if (Date.now() > deadline) throw new Error(`not so after ${ms} ms: ${JSON.stringify(now)}`)
    await seconds(0.05)
  }
}

const moved = (run: Run): number => run.totals.read

async function pausedWhileCopying(): Promise<Run> {
  const run = await until(await system.startBackup(vmId, { full: true }), r => r.state === 'copying' && moved(r) > 0)
  expect(await system.api('POST', `/v1/runs/${run.id}/pause`)).toMatchObject({ state: 'copying', paused: true })
  return run
}

test('nothing is read while it is paused, its lease is renewed, and it goes on when it is resumed', async () => {
  const run = await pausedWhileCopying()
  // What is under way is handed back at the workers' next look.
  await seconds(3)
  const held = await system.api<Run>('GET', `/v1/runs/${run.id}`)
  const { leaseId } = (await system.varve.catalog.getRunForWork(run.id)).resources
  await seconds(4)
  const still = await system.api<Run & { progress: object }>('GET', `/v1/runs/${run.id}`)
  expect(still).toMatchObject({ state: 'copying', paused: true, totals: held.totals })
  expect(still.progress).toMatchObject({ rate: null, remainingSeconds: null })
  expect((await system.driver.getLease(leaseId!)).status).toBe('running')

  await system.api('POST', `/v1/runs/${run.id}/resume`)
  await until(run, r => moved(r) > moved(still), 10_000)
  await limit(null)
  const ended = await system.ended(run)
  expect(ended, JSON.stringify(ended)).toMatchObject({ state: 'succeeded', paused: false })
  await limit(24 * MiB)
}, 120_000)

test('a paused run can be cancelled, and leaves nothing', async () => {
  const run = await pausedWhileCopying()
  await system.api('POST', `/v1/runs/${run.id}/cancel`)
  expect(await system.ended(run)).toMatchObject({ state: 'cancelled', paused: false })
  expect(await system.driver.listSnapshots(platformVmId, 'varve-')).toEqual([])
}, 120_000)

test('a run that is paused before it was begun does not read', async () => {
  const started = await system.startBackup(vmId, { full: true })
  await system.api('POST', `/v1/runs/${started.id}/pause`)
  await seconds(3)
  const held = await system.api<Run>('GET', `/v1/runs/${started.id}`)
  expect(held).toMatchObject({ paused: true, totals: { read: 0 } })
  await system.api('POST', `/v1/runs/${started.id}/resume`)
  await limit(null)
  expect(await system.ended(started)).toMatchObject({ state: 'succeeded' })
}, 120_000)
