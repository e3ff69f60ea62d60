import { createLogger, type Logger } from '@varve/runtime'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { Database } from './database.ts'
import { Relay } from './relay.ts'
import {
  addVm,
  copyingBackup,
  log,
  RecordingQueue,
  rangeIds,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  until,
} from './testing/catalog-fixture.ts'

let databases: TestDatabases
let t: TestCatalog
let db: Database
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { window: 1000, queueWindow: 1000, reconcileIntervalS: 3600 })
  db = new Database(t.databaseUrl, 8, log)
})
afterAll(async () => {
  await db?.close()
  await t?.close()
  await databases?.close()
})

const left = async (): Promise<number> => (await db.query(`select 1 from varve.outbox`)).rowCount ?? 0
beforeEach(() => until(async () => (await left()) === 0))

test('job ids name the run and step, or the range, without a colon', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  const ranges = await rangeIds(t, run.id)
  await until(() => t.queue.added.filter(job => job.payload.runId === run.id).length === 3)
  const jobs = t.queue.added.filter(job => job.payload.runId === run.id)
  expect(jobs).toContainEqual({ name: 'prepare-backup', payload: { runId: run.id }, id: `${run.id}-prepare-backup`, priority: 'normal' })
  for (const rangeId of ranges)
    expect(jobs).toContainEqual({ name: 'read-range', payload: { runId: run.id, rangeId }, id: rangeId, priority: 'normal' })
  expect(jobs.some(job => job.id.includes(':'))).toBe(false)
})

test('two more relays at once: every row reaches a queue, none twice', async () => {
  const queue = new RecordingQueue()
  const relays = [new Relay(db, queue, log), new Relay(db, queue, log)]
  for (const relay of relays) relay.start()
  const { run } = await copyingBackup(t, await addVm(t.catalog), 400)
  await until(async () => (await left()) === 0)
  await Promise.all(relays.map(relay => relay.close()))
  await until(() => [...queue.added, ...t.queue.added].filter(job => job.payload.runId === run.id).length >= 401)
  const ids = [...queue.added, ...t.queue.added].filter(job => job.payload.runId === run.id).map(job => job.id)
  expect(ids).toHaveLength(401)
  expect(new Set(ids).size).toBe(401)
})

test('an unreachable queue is tried for ever, said once, and nothing is lost', async () => {
  const own: Logger = createLogger('relay-test', 'silent')
  const error = vi.spyOn(own, 'error')
  const queue = new RecordingQueue()
  queue.fault = new Error('connect ECONNREFUSED')
  const relay = new Relay(db, queue, own)
  // The service's own relay would take the rows.
  await t.close()
  const { rows } = await db.query<{ id: string }>(`select id from varve.runs limit 1`)
  await db.query(`insert into varve.outbox (job, run_id) select 'finish-run', $1 from generate_series(1, 3)`, [rows[0]!.id])
  relay.start()
  await until(() => queue.attempts >= 9)
  expect(error).toHaveBeenCalledTimes(1)
  expect(queue.added).toEqual([])
  queue.fault = null
  await until(() => queue.added.length === 3)
  await until(async () => (await db.query(`select 1 from varve.outbox`)).rowCount === 0)
  await relay.close()
})

test('relays that claim at the very same moment share the rows', async () => {
  const { rows } = await db.query<{ id: string }>(`select id from varve.ranges limit 350`)
  await db.query(`insert into varve.outbox (job, run_id, range_id) select 'read-range', run_id, id from varve.ranges where id = any ($1)`, [
    rows.map(r => r.id),
  ])
  const queue = new RecordingQueue()
  const relays = Array.from({ length: 6 }, () => new Relay(db, queue, log))
  for (let more = true; more; ) more = (await Promise.all(relays.map(relay => relay.relayBatch()))).includes(true)
  expect(queue.ids().sort()).toEqual(rows.map(r => r.id).sort())
})

test('rows of a relay that died are taken over when its claim is over', async () => {
  const { rows } = await db.query<{ id: string }>(`select id from varve.runs limit 1`)
  await db.query(`insert into varve.outbox (job, run_id, claimed_until) values ('finish-run', $1, now() + interval '1 hour')`, [
    rows[0]!.id,
  ])
  const queue = new RecordingQueue()
  const relay = new Relay(db, queue, log)
  await relay.relayBatch()
  expect(queue.added).toEqual([])
  await db.query(`update varve.outbox set claimed_until = now() - interval '1 second'`)
  await relay.relayBatch()
  expect(queue.ids()).toEqual([`${rows[0]!.id}-finish-run`])
})
