import { randomUUID } from 'node:crypto'
import type { Catalog } from '@varve/catalog-client'
import { CATALOG_METHODS, ROUTES } from '@varve/catalog-client/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  addVm,
  copyingBackup,
  rangeIds,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  take,
} from './testing/catalog-fixture.ts'

const NOTHING_SEEN = { vms: 0, snapshots: 0, leases: 0, objects: 0, points: 0, images: 0, pages: 0 }

let databases: TestDatabases
let t: TestCatalog
const called = new Set<string>()

beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { reconcileIntervalS: 3600 })
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

/** The catalog over a line that loses every first answer: each changing call reaches it twice, and both answers must be equal. */
function twice(catalog: Catalog): Catalog {
  const double = (method: string, call: (...args: unknown[]) => Promise<unknown>) => {
    return async (...args: unknown[]): Promise<unknown> => {
      called.add(method)
      // Each attempt of one call carries the same key; two calls would not.
      const keyless = { createBackup: 2, createRestore: 2, createBackupPreview: 2, createRestorePreview: 2, createCheck: 1 }[method]
      const same = args.length === keyless ? [...args, randomUUID()] : args
      const first = await call(...same)
      const second = await call(...same)
      // When it was asked is not what was answered.
      const expected = method === 'attemptsToSweep' ? { ...(first as object), askedAt: expect.any(String) } : first
      expect({ method, answer: second }).toEqual({ method, answer: expected })
      return second
    }
  }
  const methods = CATALOG_METHODS.filter(m => ROUTES[m].http !== 'GET').map(m => [m, double(m, catalog[m] as never)])
  return { ...catalog, ...Object.fromEntries(methods) }
}

test('every changing call may be repeated: same answer, nothing changes', async () => {
  const catalog = twice(t.catalog)
  const doubled = { ...t, catalog }
  const vmId = await addVm(catalog)
  const { pointId } = await sealedBackup(doubled, vmId, 3)
  expect(await t.catalog.listPoints(vmId)).toHaveLength(1)
  expect((await t.catalog.listRuns({ vmId })).map(r => r.state)).toEqual(['succeeded'])
  expect((await t.catalog.getPoint(pointId)).stored).toBe(3000)

  const { run } = await copyingBackup(doubled, vmId, 3)
  expect(run.totals).toMatchObject({ rangesTotal: 3, planned: 3 * 1024 * 1024 })
  await catalog.recordResources(run.id, { leaseId: 'l' })
  await catalog.addNote(run.id, 'disk d1 left out: shared')
  const [range] = await rangeIds(t, run.id)
  const attempt = await take(catalog, range!)
  await catalog.progressRange(range!, attempt, { read: 5, written: 5 })
  await catalog.endAttempt(attempt, 'failed')
  await catalog.requeue(run.id)
  await catalog.pauseRun(run.id)
  await catalog.resumeRun(run.id)
  await catalog.failRun(run.id, { code: 'LEASE_LOST', message: 'gone', retryable: false })
  await catalog.recordResources(run.id, { leaseId: null, snapshotName: null })
  await catalog.closeRun(run.id)
  expect((await t.catalog.getRun(run.id)).notes).toEqual(['disk d1 left out: shared'])

  await catalog.dropPlan(run.id, null)
  const restore = await catalog.createRestore(pointId, { target: 'original' })
  await catalog.startRun(restore.id)
  await catalog.setTarget(restore.id, 'vm-1')
  await catalog.cancelRun(restore.id)
  await catalog.planned(restore.id)
  await catalog.closeRun(restore.id)
  expect((await t.catalog.getRun(restore.id)).state).toBe('cancelled')

  for (const create of [() => catalog.createBackupPreview(vmId, {}), () => catalog.createRestorePreview(pointId, { target: 'new-vm' })]) {
    const { id } = await create()
    await catalog.cancelRun(id)
    await catalog.closeRun(id)
  }
  await catalog.setPrices(null)

  const platform = await catalog.addPlatform({ name: 'p', kind: 'scp', url: 'https://p', credentials: { accessKey: 'a', secretKey: 's' } })
  await catalog.setPlatformLimits(platform.id, { runs: 3 })
  await catalog.reportPressure(platform.id, 'slow')
  await catalog.deletePlatform(platform.id)

  await catalog.createPeriodicCheck(60, 0)
  const check = await catalog.createCheck({ scope: 'all', sweep: false })
  for (;;) {
    const taken = await catalog.takeCheck('w')
    if (taken === null) break
    await catalog.progressCheck(taken.id, 'w', { step: 'points', seen: NOTHING_SEEN })
    await catalog.endCheck(taken.id, 'w', { error: { code: 'X', message: 'x' } })
  }
  expect(await catalog.listChecks({ state: 'failed' })).toHaveLength(2)
  expect((await catalog.pointFacts(check.id, null)).items).toHaveLength(1)
  expect((await catalog.endedRunFacts(60, null)).items).toHaveLength(5)
  for (const ask of [catalog.runFacts, catalog.imageOwners, catalog.sealedPoints])
    expect(await ask([pointId])).toHaveLength(ask === catalog.runFacts ? 0 : 1)
  expect((await catalog.liveRunFacts(null)).items).toEqual([])
  expect((await catalog.compactedAttempts(null)).items).toEqual([])
  expect(await catalog.objectOwners([`packs/00/${'0'.repeat(32)}`])).toMatchObject([{ owner: 'none' }])
  await catalog.attemptsSwept([], (await catalog.attemptsToSweep([])).askedAt)
  await catalog.objectsSwept(await catalog.objectsToSweep([]))
  expect([...called].sort()).toEqual(CATALOG_METHODS.filter(m => ROUTES[m].http !== 'GET').sort())
})

test('a key with the same request gives the same run, with another request CONFLICT, also when both come at once', async () => {
  const vmId = await addVm(t.catalog)
  const key = randomUUID()
  const runs = await Promise.all(Array.from({ length: 6 }, () => t.catalog.createBackup(vmId, { full: true }, key)))
  expect(new Set(runs.map(r => r.id)).size).toBe(1)
  await expect(t.catalog.createBackup(vmId, {}, key)).rejects.toMatchObject({ code: 'CONFLICT' })
  await expect(t.catalog.createBackup(vmId, { full: true }, randomUUID())).rejects.toMatchObject({
    code: 'CONFLICT',
    context: { state: 'busy' },
  })
})

test('of many backups of one VM asked for at once one begins', async () => {
  const vmId = await addVm(t.catalog)
  const settled = await Promise.allSettled(Array.from({ length: 6 }, () => t.catalog.createBackup(vmId, {})))
  expect(settled.filter(s => s.status === 'fulfilled')).toHaveLength(1)
  expect(await t.catalog.listRuns({ vmId, active: true })).toHaveLength(1)
})

test('a restore to a new VM runs beside a backup, one to the original does not', async () => {
  const vmId = await addVm(t.catalog)
  const { pointId } = await sealedBackup(t, vmId)
  await t.catalog.createBackup(vmId, {})
  await t.catalog.createRestore(pointId, { target: 'new-vm' })
  await expect(t.catalog.createRestore(pointId, { target: 'original' })).rejects.toMatchObject({ code: 'CONFLICT' })
})
