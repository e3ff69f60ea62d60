import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  addVm,
  MiB,
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
  t = await startTestCatalog(await databases.create(), { window: 4 })
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

test('a backup goes from queued to a sealed point, and each step reaches the queue once', async () => {
  const vmId = await addVm(t.catalog)
  const { runId, imageId, pointId } = await sealedBackup(t, vmId, 6)
  const run = await t.catalog.getRun(runId)
  expect(run).toMatchObject({ state: 'succeeded', outcome: 'succeeded', restorePointId: pointId })
  expect(run.totals).toEqual({ planned: 6 * MiB, read: 6 * MiB, written: 6000, unchanged: 0, zero: 0, rangesTotal: 6, rangesDone: 6 })
  await until(() => t.queue.added.length >= 9)
  expect(t.queue.ids('prepare-backup')).toEqual([`${runId}-prepare-backup`])
  expect(new Set(t.queue.ids('read-range')).size).toBe(6)
  expect(t.queue.ids('seal-restore-point')).toEqual([`${runId}-seal-restore-point`])
  expect(t.queue.ids('finish-run')).toEqual([`${runId}-finish-run`])

  expect(await t.catalog.parentPoint(vmId)).toMatchObject({
    restorePointId: pointId,
    checkpointId: '4294967297',
    images: [{ imageId, cbt: true }],
  })
  expect((await t.catalog.getPoint(pointId)).stored).toBe(6000)
  expect(await t.catalog.runObjects(runId)).toHaveLength(12)
  expect(Buffer.from(await t.catalog.imagePages(imageId)).toString()).toBe('page'.repeat(6))
  expect(await t.catalog.getImageRoot(imageId)).toMatchObject({
    rootKey: `images/${imageId}.root`,
    blockSize: 256 * 1024,
    restorePointId: pointId,
  })
  expect(await t.catalog.getVm(vmId)).toMatchObject({
    points: 1,
    lastPoint: { id: pointId },
    disks: [{ diskId: 'd0' }, { diskId: 'd1', excluded: 'shared' }],
  })
})
