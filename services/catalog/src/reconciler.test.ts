import { afterAll, beforeAll, expect, test } from 'vitest'
import { Database } from './database.ts'
import { reconcile } from './reconciler.ts'
import {
  addVm,
  complete,
  copyingBackup,
  log,
  rangeIds,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  take,
  until,
} from './testing/catalog-fixture.ts'

const WINDOW = 3
let databases: TestDatabases
let t: TestCatalog
let db: Database
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { window: WINDOW, reconcileIntervalS: 3600 })
  db = new Database(t.databaseUrl, 2, log)
})
afterAll(async () => {
  await db?.close()
  await t?.close()
  await databases?.close()
})

const look = (silenceS: number): Promise<string[]> => reconcile(db, { silenceS })
/** The queue forgets everything, after it was told. */
const flush = async (): Promise<void> => {
  await until(async () => (await t.sql.query(`select 1 from varve.runs where released_at is null and ended_at is null`)).rowCount === 0)
  await until(async () => (await t.sql.query(`select 1 from varve.outbox`)).rowCount === 0)
  t.queue.added.length = 0
}
const age = (table: 'runs' | 'ranges', where: string): Promise<unknown> =>
  t.sql.query(`update varve.${table} set touched_at = now() - interval '2 minutes' where ${where}`)

test('a run in every state goes on after the queue forgot everything', async () => {
  const queued = await t.catalog.createBackup(await addVm(t.catalog), {})
  const preparing = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.startRun(preparing.id)
  const copying = await copyingBackup(t, await addVm(t.catalog), 5)
  const sealing = await copyingBackup(t, await addVm(t.catalog), 1)
  await complete(t.catalog, (await rangeIds(t, sealing.run.id))[0]!)
  const finishing = await copyingBackup(t, await addVm(t.catalog), 1)
  await t.catalog.failRun(finishing.run.id, { code: 'X', message: 'x', retryable: false })
  const ended = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.cancelRun(ended.id)
  await t.catalog.closeRun(ended.id)
  await flush()

  expect(await look(60)).toEqual([])
  expect((await look(0)).sort()).toEqual([queued.id, preparing.id, copying.run.id, sealing.run.id, finishing.run.id].sort())
  const window = (await rangeIds(t, copying.run.id)).slice(0, WINDOW)
  const expected = [
    `${queued.id}-prepare-backup`,
    `${preparing.id}-prepare-backup`,
    ...window,
    `${sealing.run.id}-seal-restore-point`,
    `${finishing.run.id}-finish-run`,
  ]
  await until(() => t.queue.added.length >= expected.length)
  expect(t.queue.ids().sort()).toEqual(expected.sort())
  for (const id of [queued.id, preparing.id, copying.run.id, sealing.run.id, finishing.run.id]) {
    await t.catalog.failRun(id, { code: 'X', message: 'x', retryable: false })
    await t.catalog.closeRun(id)
  }
})

test('only what is silent is queued again, and then it has its time again', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 5)
  await flush()
  const [silent, alive] = await rangeIds(t, run.id, 'queued')
  await age('ranges', `run_id = '${run.id}'`)
  await t.catalog.progressRange(alive!, await take(t.catalog, alive!), { read: 1, written: 1 })
  await age('ranges', `id = '${silent}'`)
  await t.sql.query(`update varve.ranges set touched_at = now() where run_id = $1 and id <> $2`, [run.id, silent])
  expect(await look(60)).toEqual([run.id])
  await until(() => t.queue.added.length > 0)
  expect(t.queue.ids()).toEqual([silent])
  expect(await look(60)).toEqual([])
  await t.catalog.failRun(run.id, { code: 'X', message: 'x', retryable: false })
  await t.catalog.closeRun(run.id)
})

test('a job that still waits to be relayed is not written down again', async () => {
  const run = await t.catalog.createBackup(await addVm(t.catalog), {})
  await flush()
  await t.sql.query(`insert into varve.outbox (job, run_id, claimed_until) values ('prepare-backup', $1, now() + interval '1 hour')`, [
    run.id,
  ])
  await look(0)
  expect((await t.sql.query(`select 1 from varve.outbox`)).rowCount).toBe(1)
  await t.sql.query(`delete from varve.outbox`)
  await t.catalog.failRun(run.id, { code: 'X', message: 'x', retryable: false })
  await t.catalog.closeRun(run.id)
})

test('a run that cannot be helped keeps no other waiting', async () => {
  const poisoned = await t.catalog.createBackup(await addVm(t.catalog), {})
  const other = await t.catalog.createBackup(await addVm(t.catalog), {})
  await flush()
  await t.sql.query(`create function varve.poison() returns trigger language plpgsql as $$
    begin if new.run_id = '${poisoned.id}' then raise exception 'poisoned'; end if; return new; end $$`)
  await t.sql.query(`create trigger poison before insert on varve.outbox for each row execute function varve.poison()`)
  try {
    expect(await look(0)).toEqual([other.id])
  } finally {
    await t.sql.query(`drop function varve.poison cascade`)
  }
  for (const { id } of [poisoned, other]) {
    await t.catalog.failRun(id, { code: 'X', message: 'x', retryable: false })
    await t.catalog.closeRun(id)
  }
})

test('a restarted catalog looks at once', async () => {
  const databaseUrl = await databases.create()
  const before = await startTestCatalog(databaseUrl)
  const run = await before.catalog.createBackup(await addVm(before.catalog), {})
  await until(() => before.queue.added.length === 1)
  await before.close()
  const after = await startTestCatalog(databaseUrl)
  await until(() => after.queue.added.length === 1)
  expect(after.queue.ids()).toEqual([`${run.id}-prepare-backup`])
  await after.close()
})
