import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  addVm,
  complete,
  copyingBackup,
  fullImage,
  PLATFORM,
  rangeIds,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
} from './testing/catalog-fixture.ts'

/** What a user holds in his hand: pauses, priorities, the limits of a platform; and what the platform itself says. */

let databases: TestDatabases
let t: TestCatalog
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { reconcileIntervalS: 3600 })
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

const NOBODY = '00000000-0000-4000-8000-000000000000'
const column = async (table: string, what: string, where: string, id: string): Promise<unknown> =>
  (await t.sql.query(`select ${what} as value from varve.${table} where ${where} = $1`, [id])).rows[0]?.value

test('a run is paused in any state before finishing, twice is once, and goes on when resumed', async () => {
  const run = await t.catalog.createBackup(await addVm(t.catalog), {})
  expect(run.paused).toBe(false)
  expect(await t.catalog.pauseRun(run.id)).toMatchObject({ state: 'queued', paused: true })
  expect(await t.catalog.pauseRun(run.id)).toMatchObject({ state: 'queued', paused: true })
  await t.catalog.startRun(run.id)
  expect(await t.catalog.getRun(run.id)).toMatchObject({ state: 'preparing', paused: true })
  expect(await t.catalog.resumeRun(run.id)).toMatchObject({ state: 'preparing', paused: false })
  expect(await t.catalog.resumeRun(run.id)).toMatchObject({ state: 'preparing', paused: false })
})

test('a paused run can be cancelled, and is not paused any more then; one that ends is not paused', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  expect(await t.catalog.pauseRun(run.id)).toMatchObject({ state: 'copying', paused: true })
  expect(await t.catalog.cancelRun(run.id)).toMatchObject({ state: 'finishing', outcome: 'cancelled', paused: false })
  await expect(t.catalog.pauseRun(run.id)).rejects.toMatchObject({ code: 'RUN_ENDED', context: { state: 'finishing' } })
  await t.catalog.closeRun(run.id)
  await expect(t.catalog.pauseRun(run.id)).rejects.toMatchObject({ code: 'RUN_ENDED' })
  expect(await t.catalog.resumeRun(run.id)).toMatchObject({ state: 'cancelled', paused: false })
  await expect(t.catalog.pauseRun(NOBODY)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(t.catalog.resumeRun(NOBODY)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('the lease of a paused run goes on being listed for renewal', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  await t.catalog.recordResources(run.id, { leaseId: 'lease-of-a-paused-run' })
  await t.catalog.pauseRun(run.id)
  expect(await t.catalog.activeLeases()).toContainEqual(expect.objectContaining({ runId: run.id, leaseId: 'lease-of-a-paused-run' }))
})

test('a run has the priority that was asked for', async () => {
  expect(await t.catalog.createBackup(await addVm(t.catalog), {})).toMatchObject({ priority: 'normal' })
  const vmId = await addVm(t.catalog)
  const { pointId } = await sealedBackup(t, vmId)
  expect(await t.catalog.createBackup(vmId, { priority: 'high' })).toMatchObject({ priority: 'high', options: { priority: 'high' } })
  expect(await t.catalog.createRestore(pointId, { target: 'new-vm', priority: 'low' })).toMatchObject({ priority: 'low' })
  await expect(t.catalog.createBackup(await addVm(t.catalog), { priority: 'urgent' as never })).rejects.toMatchObject({
    code: 'BAD_REQUEST',
  })
})

test('limits begin with their defaults and change one by one', async () => {
  const { id, limits } = await t.catalog.addPlatform({ ...PLATFORM, name: randomUUID() })
  expect(limits).toEqual({ runs: 32, runsPerHost: 16, openDisksPerHost: 16, openDisksPerDatastore: 10, bytesPerSecond: null })
  expect((await t.catalog.setPlatformLimits(id, { runs: 4, bytesPerSecond: 50_000_000 })).limits).toEqual({
    ...limits,
    runs: 4,
    bytesPerSecond: 50_000_000,
  })
  expect((await t.catalog.setPlatformLimits(id, { bytesPerSecond: null })).limits).toEqual({ ...limits, runs: 4 })
  expect((await t.catalog.getPlatform(id)).limits.runs).toBe(4)
  await expect(t.catalog.setPlatformLimits(NOBODY, { runs: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test.each([
  { runs: 0 },
  { runs: 1.5 },
  { runsPerHost: -1 },
  { openDisksPerHost: 10_001 },
  { openDisksPerDatastore: '3' },
  { bytesPerSecond: 1000 },
  { colour: 3 },
])('limits of %o are refused', async limits => {
  const { id } = await t.catalog.addPlatform({ ...PLATFORM, name: randomUUID() })
  await expect(t.catalog.setPlatformLimits(id, limits as never)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

test('reports raise the pressure once in five seconds, and what a range may use is halved', async () => {
  const vmId = await addVm(t.catalog)
  const { run } = await copyingBackup(t, vmId, 1)
  const [rangeId] = await rangeIds(t, run.id)
  expect((await t.catalog.takeRange(rangeId!, 'a worker')).bytesPerSecond).toBe(null)
  await t.catalog.setPlatformLimits(run.platformId, { bytesPerSecond: 80_000_000 })
  expect((await t.catalog.takeRange(rangeId!, 'a worker')).bytesPerSecond).toBe(80_000_000)

  await Promise.all(Array.from({ length: 5 }, () => t.catalog.reportPressure(run.platformId, 'throttled')))
  expect((await t.catalog.getPlatform(run.platformId)).pressure).toMatchObject({ level: 1, reason: 'throttled', at: expect.any(String) })
  expect((await t.catalog.takeRange(rangeId!, 'a worker')).bytesPerSecond).toBe(40_000_000)

  const later = (seconds: number): Promise<unknown> =>
    t.sql.query(`update varve.platforms set pressure_at = pressure_at - make_interval(secs => $2) where id = $1`, [run.platformId, seconds])
  await later(5)
  await t.catalog.reportPressure(run.platformId, 'slow')
  expect((await t.catalog.getPlatform(run.platformId)).pressure).toMatchObject({ level: 2, reason: 'slow' })
  await later(60)
  expect((await t.catalog.getPlatform(run.platformId)).pressure.level).toBe(1)
  await later(60)
  expect((await t.catalog.getPlatform(run.platformId)).pressure).toEqual({ level: 0, reason: null, at: null })
  expect((await t.catalog.takeRange(rangeId!, 'a worker')).bytesPerSecond).toBe(80_000_000)
  await expect(t.catalog.reportPressure(NOBODY, 'slow')).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('a run knows the host of its VM from its start on, an image the datastore of its disk', async () => {
  const vmId = await addVm(t.catalog)
  const { platformId, platformVmId } = await t.catalog.getVm(vmId)
  const seen = (hostId: string) =>
    t.catalog.reportVms(platformId, [
      {
        platformVmId,
        name: platformVmId,
        power: 'on',
        exclusions: [],
        hostId,
        disks: [
          { diskId: 'd0', size: 1024 ** 3, datastoreId: 'store-1' },
          { diskId: 'd1', size: 1024 ** 3 },
        ],
      },
    ])
  await seen('host-1')
  const run = await t.catalog.createBackup(vmId, {})
  await t.catalog.startRun(run.id)
  expect(await column('runs', 'host_id', 'id', run.id)).toBe('host-1')
  // It stays counted where it was begun.
  await seen('host-2')
  await t.catalog.startRun(run.id)
  expect(await column('runs', 'host_id', 'id', run.id)).toBe('host-1')
  const [d0, d1, other] = await t.catalog.addImages(run.id, [fullImage('d0'), fullImage('d1'), fullImage('not-seen')])
  expect(await column('images', 'datastore_id', 'id', d0!.id)).toBe('store-1')
  expect(await column('images', 'datastore_id', 'id', d1!.id)).toBe(null)
  expect(await column('images', 'datastore_id', 'id', other!.id)).toBe(null)
})

test('the token of a lease is noted before it and struck off with it', async () => {
  const run = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.startRun(run.id)
  await t.catalog.recordResources(run.id, { leaseToken: 'token-1' })
  expect((await t.catalog.getRunForWork(run.id)).resources).toMatchObject({ leaseId: null, leaseToken: 'token-1' })
  await t.catalog.recordResources(run.id, { leaseId: 'lease-1', leaseToken: null })
  expect((await t.catalog.getRunForWork(run.id)).resources).toMatchObject({ leaseId: 'lease-1', leaseToken: null })
})

test('a run tells what its ranges waited for most', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 3)
  expect(run.bottleneck).toBe(null)
  const [a, b] = await rangeIds(t, run.id)
  await complete(t.catalog, a!, { time: { source: 100, throttle: 0, cpu: 60, store: 5 } })
  expect((await t.catalog.getRun(run.id)).bottleneck).toBe('source')
  await complete(t.catalog, b!, { time: { source: 10, throttle: 900, cpu: 60, store: 5 } })
  expect((await t.catalog.listRuns({ vmId: run.vmId }))[0]?.bottleneck).toBe('throttle')
})
