import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compactBatch } from './compaction.ts'
import { Database } from './database.ts'
import {
  addVm,
  complete,
  copyingBackup,
  log,
  MiB,
  rangeIds,
  result,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  take,
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

const hex = (digits: number): string => randomUUID().replaceAll('-', '').slice(0, digits)
const owner = async (key: string): Promise<string> => (await t.catalog.objectOwners([key]))[0]!.owner
const keyOf = (attempt: string): string => `packs/${attempt.slice(0, 2)}/${attempt}00000000`

async function addAttempt(rangeId: string, runId: string, outcome: string | null = null): Promise<string> {
  const id = hex(24)
  await t.sql.query(
    `insert into varve.attempts (id, range_id, run_id, worker, ended_at, outcome) values ($1, $2, $3, 'w', case when $4::text is null then null else now() end, $4)`,
    [id, rangeId, runId, outcome],
  )
  return id
}

async function endRun(runId: string): Promise<void> {
  await t.catalog.failRun(runId, { code: 'X', message: 'x', retryable: false })
  await t.catalog.closeRun(runId)
}

const toSweep = async (runId: string): Promise<string[]> =>
  (await t.catalog.attemptsToSweep([])).attempts.filter(a => a.runId === runId).map(({ id }) => id)

/** As if the last that was heard of the tries of a run, and when they were swept, were so long ago. */
async function letSettle(runId: string, minutes = 11): Promise<void> {
  await t.sql.query(
    `set session_replication_role = replica;
     update varve.attempts set touched_at = touched_at - interval '${minutes} minutes', ended_at = ended_at - interval '${minutes} minutes',
       swept_at = swept_at - interval '${minutes} minutes' where run_id = '${runId}';
     set session_replication_role = default`,
  )
}

test('what a try writes is live until its range is done by another, or its run has ended', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  const [first = '', second = ''] = await rangeIds(t, run.id)
  const open = await addAttempt(first, run.id)
  const failed = await addAttempt(first, run.id, 'failed')
  const elsewhere = await addAttempt(second, run.id, 'lost')
  // It may yet report, and be accepted: the range is open.
  for (const id of [open, failed, elsewhere]) expect(await owner(keyOf(id))).toBe('live')
  expect(await toSweep(run.id)).toEqual([])

  await complete(t.catalog, first)
  for (const id of [open, failed]) expect(await owner(keyOf(id))).toBe('ended')
  expect(await owner(keyOf(elsewhere))).toBe('live')
  // What a PUT under way may still bring is waited for.
  await letSettle(run.id, 9)
  expect(await toSweep(run.id)).toEqual([])
  await letSettle(run.id, 2)
  expect((await toSweep(run.id)).sort()).toEqual([open, failed].sort())

  await endRun(run.id)
  for (const id of [open, failed, elsewhere]) expect(await owner(keyOf(id))).toBe('ended')
  expect((await toSweep(run.id)).sort()).toEqual([open, failed, elsewhere].sort())
  const due = await t.catalog.attemptsToSweep([])
  expect(await t.catalog.attemptsToSweep([run.id])).toMatchObject({ attempts: [] })
  await t.catalog.attemptsSwept(
    due.attempts.map(({ id }) => id),
    due.askedAt,
  )
  expect(due.attempts.map(({ id }) => id)).toEqual(expect.arrayContaining([open, failed, elsewhere]))
  expect(await toSweep(run.id)).toEqual([])
  // It was only asleep: what it wrote since goes too.
  await expect(t.catalog.progressRange(first, open, { read: 1, written: 1 })).rejects.toMatchObject({ code: 'RUN_ENDED' })
  await letSettle(run.id)
  expect(await toSweep(run.id)).toEqual([open])
  const { rows } = await t.sql.query(`select outcome from varve.attempts where id = $1`, [open])
  expect(rows).toEqual([{ outcome: 'lost' }])
})

test('what a try says last while others are being swept is not taken as swept with them', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  const [first = ''] = await rangeIds(t, run.id)
  const slow = await take(t.catalog, first)
  await complete(t.catalog, first)
  await letSettle(run.id)
  const due = await t.catalog.attemptsToSweep([])
  expect(due.attempts.map(({ id }) => id)).toContain(slow)
  // Its objects are listed, none is there; then its PUT ends, it says so, and only then the others are done.
  await t.catalog.endAttempt(slow, 'handed-back')
  await t.catalog.attemptsSwept([slow], due.askedAt)
  await letSettle(run.id)
  expect(await toSweep(run.id)).toEqual([slow])
})

test('what was reported is live, then kept once sealed, and nobody may sweep it', async () => {
  const vmId = await addVm(t.catalog)
  const { run } = await copyingBackup(t, vmId, 1)
  const [range = ''] = await rangeIds(t, run.id)
  const attempt = await take(t.catalog, range)
  const reported = result(attempt)
  await t.catalog.completeRange(range, attempt, reported)
  for (const key of [keyOf(attempt), reported.objects[0]!.key]) expect(await owner(key)).toBe('live')

  const { runId } = await sealedBackup(t, await addVm(t.catalog))
  const [kept] = await t.catalog.runObjects(runId)
  expect(await owner(kept!.key)).toBe('kept')
  // Even when its own point is gone: later ones may name it.
  const elsewhere = randomUUID()
  const move = (from: string, to: string): Promise<unknown> =>
    t.sql.query(
      `set session_replication_role = replica; update varve.restore_points set run_id = '${to}' where run_id = '${from}'; set session_replication_role = default`,
    )
  await move(runId, elsewhere)
  expect(await owner(kept!.key)).toBe('kept')
  await move(elsewhere, runId)
  await t.catalog.objectsSwept([{ key: kept!.key, runId }])
  expect(await t.catalog.runObjects(runId)).toHaveLength(4)

  await endRun(run.id)
  for (const key of [keyOf(attempt), reported.objects[0]!.key]) expect(await owner(key)).toBe('ended')
  const swept = (await t.catalog.objectsToSweep([])).filter(o => o.runId === run.id)
  expect(swept.map(({ key }) => key).sort()).toEqual(reported.objects.map(({ key }) => key).sort())
  await t.catalog.objectsSwept(swept)
  expect((await t.catalog.objectsToSweep([])).filter(o => o.runId === run.id)).toEqual([])
  expect(await owner(`packs/aa/${hex(32)}`)).toBe('none')
})

test('of a run that was compacted the accepted tries are told, with whether the run is of any use', async () => {
  const sealed = await sealedBackup(t, await addVm(t.catalog))
  const { run } = await copyingBackup(t, await addVm(t.catalog), 1)
  const [range = ''] = await rangeIds(t, run.id)
  await complete(t.catalog, range)
  await endRun(run.id)
  const keys = [...(await t.catalog.runObjects(sealed.runId)), ...(await t.catalog.runObjects(run.id))].map(({ key }) => key)
  const attempts = [...new Set(keys.map(key => key.slice(-32, -8)))]
  const database = new Database(t.databaseUrl, 1, log)
  // What a backup without a point stored is taken away first.
  while ((await compactBatch(database, { afterHours: 0 })).runs > 0);
  expect(await owner(keys.at(-1)!)).toBe('ended')
  await t.catalog.objectsSwept(await t.catalog.objectsToSweep([]))
  for (;;) if ((await compactBatch(database, { afterHours: 0 })).runs === 0) break
  await database.close()
  for (const key of keys) expect(await owner(key)).toBe('none')
  const { items, next } = await t.catalog.compactedAttempts(null)
  expect(next).toBeNull()
  const of = (runId: string) => items.find(item => item.runId === runId)
  expect([of(sealed.runId)?.ended, of(run.id)?.ended]).toEqual([false, true])
  const told = [sealed.runId, run.id].map(id => Buffer.from(of(id)?.attemptIds ?? '', 'base64').toString('hex'))
  expect(told.flatMap(hexes => hexes.match(/.{24}/g)).sort()).toEqual(attempts.sort())
})

test('roots: of a sealed point, of a run under way, of one that failed, of nobody', async () => {
  const vmId = await addVm(t.catalog)
  const sealed = await sealedBackup(t, vmId)
  const { run, imageId } = await copyingBackup(t, vmId, 1)
  const ask = async (...ids: string[]) => (await t.catalog.imageOwners(ids)).map(answer => [answer.owner, answer.restorePointId])
  expect(await ask(sealed.imageId, imageId, randomUUID())).toEqual([
    ['kept', sealed.pointId],
    ['live', null],
    ['none', null],
  ])
  await endRun(run.id)
  expect(await ask(imageId)).toEqual([['ended', null]])
  expect(await t.catalog.sealedPoints([sealed.pointId, randomUUID()])).toEqual([sealed.pointId])
})

test('points come in pages, by VM and oldest first, with what their parents say; only those sealed before the check', async () => {
  const vms = [await addVm(t.catalog), await addVm(t.catalog)]
  for (const vmId of vms) for (let n = 0; n < 2; n++) await sealedBackup(t, vmId, 1)
  // Copies of the second and of its run, each a microsecond after the one before: 60 a VM.
  await t.sql.query(
    `set session_replication_role = replica;
     create temporary table copies as select p.*, n, gen_random_uuid() as new_run from varve.restore_points p cross join generate_series(1, 58) n
       where parent_id is not null and vm_id in ('${vms.join("','")}');
     insert into varve.runs (id, kind, vm_id, platform_id, state, outcome, options, ended_at)
       select new_run, 'backup', c.vm_id, r.platform_id, r.state, r.outcome, r.options, r.ended_at from copies c join varve.runs r on r.id = c.run_id;
     insert into varve.restore_points (id, vm_id, run_id, chain_id, parent_id, created_at, sealed_at, checkpoint_id, manifest_key, stored, images)
       select gen_random_uuid(), vm_id, new_run, chain_id, parent_id, created_at, sealed_at + n * interval '1 microsecond', checkpoint_id, manifest_key, stored, images from copies;
     set session_replication_role = default`,
  )
  const made: string[][] = []
  for (const vmId of vms) {
    const { rows } = await t.sql.query<{ id: string }>(`select id from varve.restore_points where vm_id = $1 order by sealed_at, id`, [
      vmId,
    ])
    made.push(rows.map(({ id }) => id))
  }
  expect(made.map(ids => ids.length)).toEqual([60, 60])
  const check = await t.catalog.createCheck({ scope: 'all', sweep: false })
  const late = await sealedBackup(t, vms[0]!, 1)
  const told: { id: string; vmId: string }[] = []
  for (let after: string | null = null; ; ) {
    const page: Awaited<ReturnType<typeof t.catalog.pointFacts>> = await t.catalog.pointFacts(check.id, after)
    expect(page.items.length).toBeLessThanOrEqual(100)
    told.push(...page.items)
    if (page.next === null) break
    after = page.next
  }
  for (const [i, vmId] of vms.entries()) expect(told.filter(point => point.vmId === vmId).map(({ id }) => id)).toEqual(made[i])
  expect(told.map(({ id }) => id)).not.toContain(late.pointId)
  expect(new Set(told.map(({ id }) => id)).size).toBe(told.length)
  const [point] = (await t.catalog.pointFacts(check.id, null)).items.filter(
    ({ parentId, images }) => parentId !== null && images.length > 0,
  )
  expect(point).toMatchObject({
    parentVmId: point?.vmId,
    imagesOfRun: 1,
    runKind: 'backup',
    runOutcome: 'succeeded',
    config: { name: 'vm' },
  })
  expect(point?.images).toMatchObject([
    { diskId: 'd0', diskSize: 1024 * MiB, kind: 'full', reason: 'first', parent: null, merkleRoot: 'ab' },
  ])
}, 60_000)

test('runs under way: what they last did, and whether they wait for somebody', async () => {
  const facts = async (id: string) => (await t.catalog.liveRunFacts(null)).items.find(run => run.id === id)
  const queued = await t.catalog.createBackup(await addVm(t.catalog), {})
  const { run } = await copyingBackup(t, await addVm(t.catalog), 1)
  expect(await facts(queued.id)).toMatchObject({ state: 'queued' })
  expect(await facts(run.id)).toMatchObject({ state: 'copying', waiting: false, vmName: expect.any(String) })
  await t.sql.query(`update varve.runs set touched_at = now() - interval '1 hour' where id = $1`, [run.id])
  expect((await facts(run.id))!.silentSeconds).toBeLessThan(60)
  await t.sql.query(`update varve.ranges set touched_at = now() - interval '20 minutes' where run_id = $1`, [run.id])
  expect((await facts(run.id))!.silentSeconds).toBeGreaterThan(1199)
  await t.sql.query(`update varve.runs set paused = true where id = $1`, [run.id])
  expect(await facts(run.id)).toMatchObject({ waiting: true })
  await endRun(run.id)
  expect(await facts(run.id)).toBeUndefined()
  const ended = (await t.catalog.endedRunFacts(60, null)).items.map(({ id }) => id)
  expect(ended).toContain(run.id)
  expect((await t.catalog.runFacts([run.id, randomUUID()])).map(({ id }) => id)).toEqual([run.id])
})
