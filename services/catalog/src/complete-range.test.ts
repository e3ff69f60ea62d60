import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  addVm,
  complete,
  copyingBackup,
  fullImage,
  rangeIds,
  rangeOf,
  result,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  take,
  unknownAttempt,
  until,
} from './testing/catalog-fixture.ts'

const WINDOW = 5
let databases: TestDatabases
let t: TestCatalog
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { window: WINDOW, reconcileIntervalS: 3600 })
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

/** One of two workers that had the same job and made different packs. */
async function reportOnce(id: string): Promise<{ accepted: boolean }> {
  const { attemptId } = await t.catalog.takeRange(id, randomUUID())
  if (attemptId === null) return { accepted: false }
  return t.catalog.completeRange(id, attemptId, result(attemptId))
}

test('many workers, each range reported twice at once: every range counts once, the window holds, the run is sealed once', async () => {
  const RANGES = 60
  const { run } = await copyingBackup(t, await addVm(t.catalog), RANGES)
  const accepted = new Map<string, number>()
  let most = 0
  const worker = async (): Promise<void> => {
    for (;;) {
      const queued = await rangeIds(t, run.id, 'queued')
      most = Math.max(most, queued.length)
      if (queued.length === 0) {
        if ((await t.catalog.getRun(run.id)).state !== 'copying') return
        continue
      }
      const id = queued[Math.floor(Math.random() * queued.length)]!
      const answers = await Promise.all([reportOnce(id), reportOnce(id)])
      accepted.set(id, (accepted.get(id) ?? 0) + answers.filter(a => a.accepted).length)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  expect(most).toBeLessThanOrEqual(WINDOW)
  expect([...accepted.values()]).toEqual(Array(RANGES).fill(1))
  const after = await t.catalog.getRun(run.id)
  expect(after).toMatchObject({ state: 'sealing', totals: { rangesDone: RANGES, rangesTotal: RANGES, written: RANGES * 1000 } })
  expect(await t.catalog.runObjects(run.id)).toHaveLength(2 * RANGES)
  await until(() => t.queue.ids('seal-restore-point').includes(`${run.id}-seal-restore-point`))
  expect(t.queue.ids('seal-restore-point').filter(id => id.startsWith(run.id))).toHaveLength(1)
  expect(t.queue.added.filter(job => job.name === 'read-range' && job.payload.runId === run.id)).toHaveLength(RANGES)
})

test('the last ranges of two disks at the same moment: one of them sees that it was the last', async () => {
  for (let round = 0; round < 15; round++) {
    const run = await t.catalog.createBackup(await addVm(t.catalog), {})
    await t.catalog.startRun(run.id)
    const images = await t.catalog.addImages(run.id, [fullImage('d0'), fullImage('d1'), fullImage('d2')])
    await t.catalog.addRanges(
      run.id,
      images.map(image => rangeOf(image.id, 0)),
    )
    await t.catalog.planned(run.id)
    const ids = await rangeIds(t, run.id)
    await until(async () => (await rangeIds(t, run.id, 'queued')).length === ids.length)
    await Promise.all(ids.map(id => complete(t.catalog, id)))
    expect((await t.catalog.getRun(run.id)).state).toBe('sealing')
  }
})

test('the first report wins; the same report again is accepted again', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  const [id] = await rangeIds(t, run.id)
  const [one, two] = [await take(t.catalog, id!), await take(t.catalog, id!)]
  const first = result(one)
  expect(await t.catalog.completeRange(id!, one, first)).toEqual({ accepted: true })
  expect(await t.catalog.completeRange(id!, one, first)).toEqual({ accepted: true })
  expect(await t.catalog.completeRange(id!, one, result(one, { read: 1 }))).toEqual({ accepted: false })
  expect(await t.catalog.completeRange(id!, two, result(two))).toEqual({ accepted: false })
  expect((await t.catalog.runObjects(run.id)).map(o => o.key).sort()).toEqual(first.objects.map(o => o.key).sort())
  expect((await t.catalog.getRun(run.id)).totals.rangesDone).toBe(1)
})

test('a report for a run that ends leaves nothing behind', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  const [id] = await rangeIds(t, run.id)
  const attempt = await take(t.catalog, id!)
  await t.catalog.failRun(run.id, { code: 'LEASE_LOST', message: 'the lease expired', retryable: false })
  await expect(t.catalog.completeRange(id!, attempt, result(attempt))).rejects.toMatchObject({
    code: 'RUN_ENDED',
    context: { state: 'finishing' },
  })
  await expect(t.catalog.progressRange(id!, attempt, { read: 1, written: 1 })).rejects.toMatchObject({ code: 'RUN_ENDED' })
  expect(await t.catalog.runObjects(run.id)).toEqual([])
  expect(await rangeIds(t, run.id, 'done')).toEqual([])
})

test('a range that is not in the queue yet is not given out and cannot be reported', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), WINDOW + 1)
  const [waiting] = await rangeIds(t, run.id, 'planned')
  expect(await t.catalog.takeRange(waiting!, 'early')).toMatchObject({ attemptId: null, state: 'planned' })
  const attempt = unknownAttempt()
  await expect(t.catalog.completeRange(waiting!, attempt, result(attempt))).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('progress shows in the totals until the report replaces it', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  const [id] = await rangeIds(t, run.id)
  const attempt = await take(t.catalog, id!)
  expect(await t.catalog.progressRange(id!, attempt, { read: 500, written: 50 })).toEqual({ next: 'go-on' })
  expect((await t.catalog.getRun(run.id)).totals).toMatchObject({ read: 500, written: 50 })
  await t.catalog.completeRange(id!, attempt, result(attempt, { read: 700, written: 70 }))
  expect((await t.catalog.getRun(run.id)).totals).toMatchObject({ read: 700, written: 70, rangesDone: 1 })
})

test('a restore whose ranges are planned stays under the lease that it was planned under', async () => {
  const { pointId, imageId } = await sealedBackup(t, await addVm(t.catalog))
  const { id } = await t.catalog.createRestore(pointId, { target: 'original' })
  await t.catalog.startRun(id)
  await t.catalog.recordResources(id, { leaseId: 'first' }, { leaseId: null })
  await t.catalog.recordResources(id, { leaseId: 'second' }, { leaseId: 'first' })
  const [image] = await t.catalog.addImages(id, [{ ...fullImage(), reason: null, cbt: false, sourceImageId: imageId }])
  await t.catalog.addRanges(id, [rangeOf(image!.id, 0)])
  await t.catalog.planned(id)
  await t.catalog.recordResources(id, { leaseId: 'second' })
  await expect(t.catalog.recordResources(id, { leaseId: 'third' }, { leaseId: 'second' })).rejects.toMatchObject({ code: 'PLAN_CHANGED' })
  await expect(t.catalog.recordResources(id, { leaseId: null })).rejects.toMatchObject({ code: 'PLAN_CHANGED' })
  await t.catalog.cancelRun(id)
  await t.catalog.recordResources(id, { leaseId: null })
})

test('a restore ends with its last range, with damage when there was some', async () => {
  for (const damaged of [false, true]) {
    const { pointId, imageId } = await sealedBackup(t, await addVm(t.catalog))
    const run = await t.catalog.createRestore(pointId, { target: 'new-vm', onDamage: 'continue' })
    await t.catalog.startRun(run.id)
    await t.catalog.setTarget(run.id, 'vm-new')
    const [image] = await t.catalog.addImages(run.id, [{ ...fullImage(), reason: null, cbt: false, sourceImageId: imageId }])
    await t.catalog.addRanges(run.id, [rangeOf(image!.id, 0), rangeOf(image!.id, 1)])
    await t.catalog.planned(run.id)
    await until(async () => (await rangeIds(t, run.id, 'queued')).length === 2)
    const [a, b] = await rangeIds(t, run.id)
    expect(await t.catalog.takeRange(a!, 'looks')).toMatchObject({
      sourceImageId: imageId,
      onDamage: 'continue',
      state: 'queued',
      extents: [{ length: 1024 * 1024 }],
    })
    const plain = { pages: '', objects: [] }
    await complete(t.catalog, a!, { ...plain, damage: damaged ? [{ offset: 0, length: 4096, code: 'PACK_CORRUPT' }] : [] })
    await complete(t.catalog, b!, plain)
    const outcome = damaged ? 'succeeded-with-damage' : 'succeeded'
    expect(await t.catalog.getRun(run.id)).toMatchObject({
      state: 'finishing',
      outcome,
      restorePointId: pointId,
      targetPlatformVmId: 'vm-new',
    })
    await t.catalog.closeRun(run.id)
    expect((await t.catalog.getRun(run.id)).state).toBe(outcome)
  }
})
