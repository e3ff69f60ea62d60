import { randomUUID } from 'node:crypto'
import type { Prediction } from '@varve/catalog-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  addVm,
  copyingBackup,
  fullImage,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  until,
} from './testing/catalog-fixture.ts'

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

const basis = { from: 'disk', runs: 2 } as const
const figures = { planned: 1, read: 2, exact: true, stored: 3, puts: 4, gets: 5 }
const prediction: Prediction = {
  of: 'backup',
  ...figures,
  seconds: 1.5,
  secondsBasis: basis,
  previewId: null,
  disks: [{ diskId: 'd0', diskSize: 10, kind: 'full', reason: 'first', storedBasis: basis, ...figures }],
}

test('a preview: given out, prepared, succeeded with its prediction, cleaned up like any run', async () => {
  const { catalog, queue } = t
  const vmId = await addVm(catalog)
  const { id } = await catalog.createBackupPreview(vmId, { full: true })
  expect(await catalog.getRun(id)).toMatchObject({
    kind: 'preview',
    state: 'queued',
    priority: 'high',
    options: { of: 'backup', full: true },
  })
  await until(() => queue.ids('prepare-preview').includes(`${id}-prepare-preview`))
  await catalog.startRun(id)
  await catalog.recordResources(id, { snapshotName: `varve-${id}`, snapshotId: 's', leaseId: 'l' })
  await expect(catalog.planned(id)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  await catalog.planned(id, { prediction })
  await catalog.planned(id, { prediction: { ...prediction, read: 99 } })
  expect(await catalog.getRun(id)).toMatchObject({ state: 'finishing', outcome: 'succeeded', prediction, plannedAt: expect.any(String) })
  await until(() => queue.ids('finish-run').includes(`${id}-finish-run`))
  await expect(catalog.closeRun(id)).rejects.toMatchObject({ code: 'CONFLICT' })
  await catalog.recordResources(id, { leaseId: null, snapshotId: null, snapshotName: null })
  await catalog.closeRun(id)
  expect(await catalog.getRun(id)).toMatchObject({ state: 'succeeded', restorePointId: null })
  expect(await catalog.listRuns({ vmId, kind: 'preview' })).toHaveLength(1)
  expect(await catalog.listRuns({ vmId, kind: 'backup' })).toHaveLength(0)
  expect(await catalog.parentPoint(vmId)).toBeNull()
})

test('the same key is the same preview', async () => {
  const vmId = await addVm(t.catalog)
  const key = randomUUID()
  const { id } = await t.catalog.createBackupPreview(vmId, {}, key)
  expect((await t.catalog.createBackupPreview(vmId, {}, key)).id).toBe(id)
  await expect(t.catalog.createBackupPreview(vmId, { full: true }, key)).rejects.toMatchObject({ code: 'CONFLICT' })
})

test('one of a backup or of the original meets no other run on the VM; one of a restore to a new VM does', async () => {
  const { catalog } = t
  const vmId = await addVm(catalog)
  const { pointId } = await sealedBackup(t, vmId)
  const preview = await catalog.createBackupPreview(vmId, {})
  await expect(catalog.createBackup(vmId, {})).rejects.toMatchObject({ code: 'CONFLICT' })
  await expect(catalog.createRestorePreview(pointId, { target: 'original' })).rejects.toMatchObject({ code: 'CONFLICT' })
  expect(await catalog.createRestorePreview(pointId, { target: 'new-vm' })).toMatchObject({
    options: { of: 'restore' },
    restorePointId: pointId,
  })
  await catalog.cancelRun(preview.id)
  await catalog.closeRun(preview.id)
  await expect(catalog.createBackupPreview(randomUUID(), {})).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(catalog.createRestorePreview(randomUUID(), { target: 'new-vm' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('a backup keeps what was expected of it, when its copying ended, and how many objects it stored', async () => {
  const { catalog } = t
  const vmId = await addVm(catalog)
  const { id } = await catalog.createBackup(vmId, {})
  await catalog.startRun(id)
  await catalog.addImages(id, [fullImage()])
  await catalog.planned(id, { prediction })
  expect(await catalog.getRun(id)).toMatchObject({ prediction, copiedAt: expect.any(String) })
  const { runId } = await sealedBackup(t, await addVm(catalog), 2)
  const run = await catalog.getRun(runId)
  expect(run).toMatchObject({ objects: 4, prediction: null })
  expect(Date.parse(run.copiedAt!)).toBeGreaterThanOrEqual(Date.parse(run.plannedAt!))
})

test('the database itself refuses a preview that copies, one that succeeds with nothing to tell, and another prediction', async () => {
  const { catalog, sql } = t
  const { id } = await catalog.createBackupPreview(await addVm(catalog), {})
  await catalog.startRun(id)
  const refused = { code: '23514' }
  await sql.query(`update varve.runs set planned_at = now() where id = $1`, [id])
  await expect(sql.query(`update varve.runs set state = 'copying' where id = $1`, [id])).rejects.toMatchObject(refused)
  await expect(sql.query(`update varve.runs set state = 'sealing' where id = $1`, [id])).rejects.toMatchObject(refused)
  await expect(sql.query(`update varve.runs set state = 'finishing', outcome = 'succeeded' where id = $1`, [id])).rejects.toMatchObject(
    refused,
  )
  await sql.query(`update varve.runs set prediction = '{}' where id = $1`, [id])
  await expect(sql.query(`update varve.runs set prediction = '{"a": 1}' where id = $1`, [id])).rejects.toMatchObject(refused)
})

test('prices are all or none, and told with every run', async () => {
  const { catalog } = t
  const prices = { currency: 'EUR', perGibMonth: 0.02, perThousandPuts: 0.005, perThousandGets: 0, perGibRead: 0.09 }
  expect(await catalog.getPrices()).toBeNull()
  await catalog.setPrices(prices)
  await catalog.setPrices({ ...prices, currency: 'USD' })
  expect(await catalog.getPrices()).toEqual({ ...prices, currency: 'USD' })
  const { run } = await copyingBackup(t, await addVm(catalog), 1)
  expect((await catalog.getRun(run.id)).prices).toMatchObject({ currency: 'USD' })
  for (const wrong of [{ currency: 'euro' }, { perGibMonth: -1 }, { perGibRead: 1e9 }, { perGibRead: Number.NaN }]) {
    await expect(catalog.setPrices({ ...prices, ...wrong })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  }
  await catalog.setPrices(null)
  expect((await catalog.getRun(run.id)).prices).toBeNull()
})
