import { randomBytes, randomUUID } from 'node:crypto'
import { sleep } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compactBatch } from './compaction.ts'
import { Database } from './database.ts'
import { CHECK_DAYS, dropOldRows, KEY_DAYS } from './old-rows.ts'
import {
  addVm,
  copyingBackup,
  log,
  rangeIds,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
} from './testing/catalog-fixture.ts'

let databases: TestDatabases
beforeAll(async () => {
  databases = await startTestPostgres()
})
afterAll(() => databases?.close())

async function withCatalog(body: (t: TestCatalog, db: Database) => Promise<void>): Promise<void> {
  const t = await startTestCatalog(await databases.create(), { reconcileIntervalS: 3600 })
  const db = new Database(t.databaseUrl, 8, log)
  try {
    await body(t, db)
  } finally {
    await db.close()
    await t.close()
  }
}

const newAttempt = (): string => randomBytes(12).toString('hex')

/** An attempt of every range of a run as it would have been: accepted where the range is done, and a late one that was refused. @returns the accepted */
async function addAttempts(t: TestCatalog, runId: string, swept = true): Promise<string[]> {
  const accepted: string[] = []
  const insert = (range: string, outcome: string, id = newAttempt()): Promise<unknown> =>
    t.sql.query(
      `insert into varve.attempts (id, range_id, run_id, worker, ended_at, outcome, swept_at)
       values ($1, $2, $3, 'w', now(), $4, case when $4 <> 'accepted' and $5 then now() end)`,
      [id, range, runId, outcome, swept],
    )
  for (const range of await rangeIds(t, runId)) {
    const there = await t.sql.query<{ id: string }>(`select id from varve.attempts where range_id = $1 and outcome = 'accepted'`, [range])
    accepted.push(...there.rows.map(row => row.id))
    await insert(range, 'refused')
  }
  for (const range of await rangeIds(t, runId, 'done')) {
    const id = newAttempt()
    const there = await t.sql.query(`select 1 from varve.attempts where range_id = $1 and outcome = 'accepted'`, [range])
    if (there.rowCount === 0) {
      await insert(range, 'accepted', id)
      accepted.push(id)
    }
  }
  return accepted
}

async function failedRun(t: TestCatalog): Promise<string> {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 4)
  const [range] = await rangeIds(t, run.id, 'queued')
  await t.sql.query(`update varve.ranges set progress_read = 700, progress_written = 50 where id = $1`, [range])
  await t.catalog.addNote(run.id, 'a note that stays')
  await t.catalog.failRun(run.id, { code: 'LEASE_LOST', message: 'gone', retryable: false })
  await t.catalog.closeRun(run.id)
  return run.id
}

/** What the catalog answers to every question that users and services have about what ended. */
async function everyAnswer({ catalog }: TestCatalog): Promise<unknown> {
  const [vms, runs, points] = await Promise.all([catalog.listVms(), catalog.listRuns({ limit: 500 }), catalog.listPoints()])
  const images = points.flatMap(point => point.images)
  return {
    vms,
    runs,
    points,
    active: await catalog.listRuns({ active: true }),
    leases: await catalog.activeLeases(),
    work: await Promise.all(runs.map(run => catalog.getRunForWork(run.id))),
    parents: await Promise.all(vms.map(vm => catalog.parentPoint(vm.id))),
    configs: await Promise.all(points.map(point => catalog.getPointConfig(point.id))),
    roots: await Promise.all(images.map(image => catalog.getImageRoot(image.imageId))),
  }
}

async function count(t: TestCatalog, table: string, where = 'true'): Promise<number> {
  const { rows } = await t.sql.query<{ count: string }>(`select count(*) from varve.${table} where ${where}`)
  return Number(rows[0]?.count)
}

async function keptAttempts(t: TestCatalog, runId: string): Promise<string[]> {
  const { rows } = await t.sql.query<{ attempt_ids: Buffer }>(`select attempt_ids from varve.run_attempts where run_id = $1`, [runId])
  return rows[0]?.attempt_ids.toString('hex').match(/.{24}/g) ?? []
}

test('every answer is the same before and after, but for the ranges themselves', async () => {
  await withCatalog(async (t, db) => {
    const vm = await addVm(t.catalog)
    const first = await sealedBackup(t, vm, 5)
    const second = await sealedBackup(t, vm, 3)
    const failed = await failedRun(t)
    const accepted = await addAttempts(t, first.runId)
    await addAttempts(t, failed)
    const { run: copying } = await copyingBackup(t, await addVm(t.catalog), 3)
    const before = await everyAnswer(t)
    expect((await t.catalog.getRun(failed)).totals).toMatchObject({ read: 700, written: 50 })

    // So small that no run is done in one batch.
    while ((await compactBatch(db, { afterHours: 0, runs: 2, ranges: 2 })).ranges > 0) expect(await everyAnswer(t)).toEqual(before)

    expect(await everyAnswer(t)).toEqual(before)
    for (const table of ['ranges', 'objects', 'attempts', 'outbox']) expect(await count(t, table, `run_id <> '${copying.id}'`)).toBe(0)
    expect(await count(t, 'ranges')).toBe(3)
    expect((await keptAttempts(t, first.runId)).sort()).toEqual(accepted.sort())
    expect(await keptAttempts(t, failed)).toEqual([])
    expect(await count(t, 'runs', 'compacted_at is not null')).toBe(3)
    // What is forgotten is not answered as nothing.
    await expect(t.catalog.imagePages(first.imageId)).rejects.toMatchObject({ code: 'RUN_ENDED' })
    await expect(t.catalog.runObjects(second.runId)).rejects.toMatchObject({ code: 'RUN_ENDED' })
    // Again it finds nothing.
    expect(await compactBatch(db, { afterHours: 0 })).toEqual({ runs: 0, ranges: 0 })
  })
})

test('a run stays whole until its time, and as long as an attempt may have left something', async () => {
  await withCatalog(async (t, db) => {
    const { runId } = await sealedBackup(t, await addVm(t.catalog), 2)
    await addAttempts(t, runId, false)
    expect(await compactBatch(db, { afterHours: 0 })).toEqual({ runs: 0, ranges: 0 })
    await t.sql.query(`update varve.attempts set swept_at = now(), touched_at = now() + interval '1 second' where outcome <> 'accepted'`)
    expect(await compactBatch(db, { afterHours: 0 })).toEqual({ runs: 0, ranges: 0 })
    await t.sql.query(`update varve.attempts set swept_at = touched_at where outcome <> 'accepted'`)
    expect(await compactBatch(db, { afterHours: 1 })).toEqual({ runs: 0, ranges: 0 })
    await t.sql.query(`update varve.runs set ended_at = now() - interval '61 minutes'`)
    expect(await compactBatch(db, { afterHours: 1 })).toEqual({ runs: 1, ranges: 2 })
  })
})

test('objects from before there were attempts are owned by what their own ids begin with', async () => {
  await withCatalog(async (t, db) => {
    const { runId } = await sealedBackup(t, await addVm(t.catalog), 2)
    await t.sql.query(`delete from varve.attempts`)
    await t.sql.query(`delete from varve.objects`)
    const ids = [randomUUID(), randomUUID(), randomUUID()].map(id => id.replaceAll('-', ''))
    for (const id of ids) {
      await t.sql.query(
        `insert into varve.objects (range_id, run_id, key, size, kind) select id, run_id, $1, 1, 'pack' from varve.ranges limit 1`,
        [`packs/${id.slice(0, 2)}/${id}`],
      )
    }
    await compactBatch(db, { afterHours: 0 })
    expect((await keptAttempts(t, runId)).sort()).toEqual(ids.map(id => id.slice(0, 24)).sort())
  })
})

test('several instances share the work: each range goes once, each accepted attempt stays once', async () => {
  await withCatalog(async (t, db) => {
    const runs: { runId: string; accepted: string[] }[] = []
    for (let n = 0; n < 6; n++) {
      const { runId } = await sealedBackup(t, await addVm(t.catalog), 4)
      runs.push({ runId, accepted: await addAttempts(t, runId) })
    }
    const before = await everyAnswer(t)
    let ranges = 0
    const instance = async (): Promise<void> => {
      for (let idle = 0; idle < 20; ) {
        const batch = await compactBatch(db, { afterHours: 0, runs: 2, ranges: 3 })
        ranges += batch.ranges
        if (batch.runs + batch.ranges > 0) idle = 0
        else {
          idle += 1
          await new Promise(resolve => setTimeout(resolve, 10))
        }
      }
    }
    await Promise.all([instance(), instance(), instance(), instance()])
    expect(ranges).toBe(24)
    for (const { runId, accepted } of runs) expect((await keptAttempts(t, runId)).sort()).toEqual(accepted.sort())
    expect(await everyAnswer(t)).toEqual(before)
  })
})

test('nobody is told of a run that is compacted', async () => {
  await withCatalog(async (t, db) => {
    await sealedBackup(t, await addVm(t.catalog), 1)
    const told: unknown[] = []
    const client = await t.sql.connect()
    try {
      await client.query('listen varve_changes')
      client.on('notification', ({ payload }) => told.push(payload))
      // What the run's own reports still had to tell, gathered for a while.
      await sleep(1000)
      told.length = 0
      expect((await compactBatch(db, { afterHours: 0 })).runs).toBe(1)
      await client.query('select 1')
      expect(told).toEqual([])
    } finally {
      client.release(true)
    }
  })
})

test('old idempotency keys and checks go; those of a run under way, and the newest check of each scope, stay', async () => {
  await withCatalog(async (t, db) => {
    const vm = await addVm(t.catalog)
    const run = await t.catalog.createBackup(vm, {}, 'under-way')
    await t.sql.query(`insert into varve.idempotency_keys select kind, 'of-ended', request, run_id from varve.idempotency_keys`)
    const { runId } = await sealedBackup(t, await addVm(t.catalog), 1)
    await t.sql.query(`update varve.idempotency_keys set run_id = $1 where key = 'of-ended'`, [runId])
    await t.sql.query(
      `insert into varve.idempotency_keys select kind, 'young', request, run_id from varve.idempotency_keys where key = 'of-ended'`,
    )
    await t.sql.query(`update varve.idempotency_keys set created_at = now() - make_interval(days => $1) where key <> 'young'`, [KEY_DAYS])
    const check = (scope: string, daysAgo: number): Promise<unknown> =>
      t.sql.query(
        `insert into varve.checks (scope, sweep, state, created_at, ended_at, findings, summary)
         values ($1, false, 'done', now() - make_interval(days => $2), now() - make_interval(days => $2), '[]', '{}')`,
        [scope, daysAgo],
      )
    for (const days of [CHECK_DAYS + 3, CHECK_DAYS + 2, CHECK_DAYS + 1]) await check('all', days)
    for (const days of [CHECK_DAYS + 1, 2, 1]) await check('leaks', days)

    expect(await dropOldRows(db)).toBe(5)
    expect(await dropOldRows(db)).toBe(0)
    expect(await count(t, 'idempotency_keys', `key = 'of-ended'`)).toBe(0)
    expect(await count(t, 'idempotency_keys', `key = 'young'`)).toBe(1)
    expect((await t.catalog.createBackup(vm, {}, 'under-way')).id).toBe(run.id)
    expect([await count(t, 'checks', `scope = 'all'`), await count(t, 'checks', `scope = 'leaks'`)]).toEqual([1, 2])
  })
})
