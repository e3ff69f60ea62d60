import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Database } from './database.ts'
import { ReportBatches } from './report-batches.ts'
import {
  addVm,
  complete,
  copyingBackup,
  fullImage,
  log,
  rangeIds,
  rangeOf,
  result,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  take,
  unknownAttempt,
  until,
} from './testing/catalog-fixture.ts'

let databases: TestDatabases
let t: TestCatalog
let db: Database
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { reconcileIntervalS: 3600 })
  db = new Database(t.databaseUrl, 8, log)
})
afterAll(async () => {
  await db?.close()
  await t?.close()
  await databases?.close()
})

/** A run whose ranges are all taken. */
interface Taken {
  readonly runId: string
  readonly ranges: readonly { readonly id: string; readonly attemptId: string }[]
}
let run: Taken
beforeEach(async () => {
  run = await takenRun(12)
})

async function takenRun(count: number): Promise<Taken> {
  const { run: copying } = await copyingBackup(t, await addVm(t.catalog), count)
  const ids = await rangeIds(t, copying.id, 'queued')
  const ranges = []
  for (const id of ids) ranges.push({ id, attemptId: await take(t.catalog, id) })
  expect(ranges).toHaveLength(count)
  return { runId: copying.id, ranges }
}

const transactions = async (): Promise<number> => {
  const { rows } = await t.sql.query(`select distinct xmin::text from varve.ranges where run_id = $1 and state = 'done'`, [run.runId])
  return rows.length
}

test('reports that come at once are written together, and each is answered for itself', async () => {
  const told: string[] = []
  const batches = new ReportBatches(db, runId => told.push(runId))
  // As when they were taken here: then none has to be looked up first, and all come at once.
  const [image] = (await t.catalog.getRun(run.runId)).images
  for (const { id } of run.ranges) batches.expect(id, { imageId: image!.id, runId: run.runId })
  const [late, ...others] = run.ranges
  // One that another worker has reported before, and one of nobody.
  await t.catalog.completeRange(late!.id, late!.attemptId, result(late!.attemptId, { read: 1 }))
  const answers = await Promise.allSettled([
    ...others.map(({ id, attemptId }) => batches.complete(id, attemptId, result(attemptId))),
    batches.complete(late!.id, late!.attemptId, result(late!.attemptId)),
    batches.complete(others[0]!.id, unknownAttempt(), result(others[0]!.attemptId)),
  ])
  expect(answers.slice(0, others.length)).toEqual(others.map(() => ({ status: 'fulfilled', value: { accepted: true } })))
  expect(answers.slice(others.length)).toMatchObject([
    { status: 'fulfilled', value: { accepted: false } },
    { status: 'rejected', reason: { code: 'BAD_REQUEST' } },
  ])
  expect(await t.catalog.getRun(run.runId)).toMatchObject({ state: 'sealing', totals: { rangesDone: 12 } })
  expect(new Set(told)).toEqual(new Set([run.runId]))
  // The report before them, the first of them by itself, and the rest.
  expect(await transactions()).toBeLessThanOrEqual(3)
})

test('one that the database refuses costs only itself', async () => {
  const batches = new ReportBatches(db)
  const [bad, ...good] = run.ranges
  const answers = await Promise.allSettled([
    ...good.map(({ id, attemptId }) => batches.complete(id, attemptId, result(attemptId))),
    batches.complete(bad!.id, bad!.attemptId, result(bad!.attemptId, { read: -1e300 })),
  ])
  expect(answers.map(({ status }) => status)).toEqual([...good.map(() => 'fulfilled'), 'rejected'])
  expect((await t.catalog.getRun(run.runId)).totals.rangesDone).toBe(11)
})

test('a run that ends takes none of what waits, and all hear so', async () => {
  const batches = new ReportBatches(db)
  const reports = run.ranges.map(({ id, attemptId }) => batches.complete(id, attemptId, result(attemptId)))
  const [answers] = await Promise.all([
    Promise.allSettled(reports),
    t.catalog.failRun(run.runId, { code: 'X', message: 'x', retryable: false }),
  ])
  const { totals, state } = await t.catalog.getRun(run.runId)
  const accepted = answers.filter(answer => answer.status === 'fulfilled').length
  expect(totals.rangesDone).toBe(accepted)
  if (accepted < 12) expect(state).toBe('finishing')
  for (const answer of answers) if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ code: 'RUN_ENDED' })
  expect((await t.sql.query(`select 1 from varve.attempts where run_id = $1 and ended_at is null`, [run.runId])).rowCount).toBe(
    state === 'finishing' ? 0 : 12 - accepted,
  )
})

test('disks of different runs do not wait for each other', async () => {
  const batches = new ReportBatches(db)
  const other = await takenRun(2)
  const client = await t.sql.connect()
  try {
    await client.query('begin')
    await client.query(`select 1 from varve.runs where id = $1 for update`, [run.runId])
    const { id, attemptId } = run.ranges[0]!
    const held = batches.complete(id, attemptId, result(attemptId))
    for (const range of other.ranges) await batches.complete(range.id, range.attemptId, result(range.attemptId))
    await client.query('commit')
    expect(await held).toEqual({ accepted: true })
  } finally {
    client.release()
  }
})

test('reports about two disks and a dispatcher that counts in both at once never wait for each other in a circle', async () => {
  const two = await t.catalog.createBackup(await addVm(t.catalog), {})
  await until(
    async () => (await t.sql.query(`select 1 from varve.runs where id = $1 and released_at is not null`, [two.id])).rowCount === 1,
  )
  await t.catalog.startRun(two.id)
  const images = await t.catalog.addImages(two.id, [fullImage('d0'), fullImage('d1')])
  const ranges = images.flatMap(({ id }) => Array.from({ length: 150 }, (_, index) => rangeOf(id, index)))
  await t.catalog.addRanges(two.id, ranges)
  await t.catalog.planned(two.id)
  const deadlocks = async (): Promise<number> =>
    Number((await t.sql.query(`select deadlocks from pg_stat_database where datname = current_database()`)).rows[0].deadlocks)
  const before = await deadlocks()
  const worker = async (): Promise<void> => {
    for (;;) {
      const queued = await rangeIds(t, two.id, 'queued')
      if (queued.length === 0 && (await t.catalog.getRun(two.id)).state === 'sealing') return
      const id = queued[Math.floor(Math.random() * queued.length)]
      if (id !== undefined) await complete(t.catalog, id).catch(() => {})
    }
  }
  await Promise.all(Array.from({ length: 12 }, worker))
  // Statistics are written down a little later.
  await new Promise(resolve => setTimeout(resolve, 1500))
  expect(await deadlocks()).toBe(before)
})
