import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  addVm,
  complete,
  copyingBackup,
  rangeIds,
  result,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  take,
  unknownAttempt,
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

const fail = { code: 'X', message: 'x', retryable: false }
const pause = (runId: string, paused: boolean): Promise<unknown> =>
  t.sql.query(`update varve.runs set paused = $2 where id = $1`, [runId, paused])
const outcomes = async (rangeId: string): Promise<(string | null)[]> => {
  const { rows } = await t.sql.query(`select outcome from varve.attempts where range_id = $1 order by started_at`, [rangeId])
  return rows.map(row => row.outcome)
}
const stateOf = async (rangeId: string): Promise<string> =>
  (await t.sql.query(`select state from varve.ranges where id = $1`, [rangeId])).rows[0].state

async function copying(ranges = 2): Promise<{ runId: string; a: string; b: string }> {
  const { run } = await copyingBackup(t, await addVm(t.catalog), ranges)
  const [a, b] = await rangeIds(t, run.id)
  return { runId: run.id, a: a!, b: b! }
}

describe('taking a range', () => {
  test('records the attempt before anything is written; the same name again is the same attempt, as long as it is open', async () => {
    const { a } = await copying()
    const taken = await t.catalog.takeRange(a, 'host/1/a')
    expect(taken).toMatchObject({
      id: a,
      state: 'queued',
      runState: 'copying',
      extents: [{ offset: 0 }],
      attemptId: expect.stringMatching(/^[0-9a-f]{24}$/),
    })
    expect(await t.catalog.takeRange(a, 'host/1/a')).toEqual(taken)
    const other = await take(t.catalog, a)
    expect(other).not.toBe(taken.attemptId)
    await t.catalog.endAttempt(taken.attemptId!, 'failed')
    expect((await t.catalog.takeRange(a, 'host/1/a')).attemptId).not.toBe(taken.attemptId)
    expect(await outcomes(a)).toEqual(['failed', null, null])
  })

  test('that is done, or of a run that is over, records nothing', async () => {
    const { runId, a, b } = await copying()
    await complete(t.catalog, a)
    expect(await t.catalog.takeRange(a, 'late')).toMatchObject({ attemptId: null, state: 'done' })
    await t.catalog.failRun(runId, fail)
    expect(await t.catalog.takeRange(b, 'late')).toMatchObject({ attemptId: null, runState: 'finishing' })
    expect([await outcomes(a), await outcomes(b)]).toEqual([['accepted'], []])
  })
})

describe('a range that failed for good where it was tried', () => {
  test('ends its run when nobody else is at it', async () => {
    const { runId, a } = await copying()
    const mine = await take(t.catalog, a)
    await t.catalog.endAttempt(mine, 'failed')
    await t.catalog.failRun(runId, fail, a)
    expect(await t.catalog.getRun(runId)).toMatchObject({ state: 'finishing', reason: 'X' })
  })

  test('leaves the run alone while another has it, or when it is done; the last of them ends the run', async () => {
    const { runId, a, b } = await copying()
    const [mine, theirs] = [await take(t.catalog, a), await take(t.catalog, a)]
    await t.catalog.endAttempt(mine, 'failed')
    await t.catalog.failRun(runId, fail, a)
    expect(await t.catalog.getRun(runId)).toMatchObject({ state: 'copying', reason: null })
    await t.catalog.endAttempt(theirs, 'failed')
    await complete(t.catalog, b)
    await t.catalog.failRun(runId, fail, b)
    expect(await t.catalog.getRun(runId)).toMatchObject({ state: 'copying', reason: null })
    await t.catalog.failRun(runId, { ...fail, code: 'Y' }, a)
    expect(await t.catalog.getRun(runId)).toMatchObject({ state: 'finishing', reason: 'Y' })
  })

  test('ends its run when whoever else had it gives no sign of life', async () => {
    const { runId, a } = await copying()
    const dead = await take(t.catalog, a)
    const mine = await take(t.catalog, a)
    await t.sql.query(`update varve.attempts set touched_at = now() - interval '16 seconds' where id = $1`, [dead])
    await t.catalog.endAttempt(mine, 'failed')
    await t.catalog.failRun(runId, fail, a)
    expect(await t.catalog.getRun(runId)).toMatchObject({ state: 'finishing', reason: 'X' })
  })

  test('is one that there is', async () => {
    const { runId } = await copying()
    await expect(t.catalog.failRun(runId, fail, '00000000-0000-4000-8000-000000000000')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('a paused run', () => {
  test('gives no range out: it waits in the catalog again', async () => {
    const { runId, a } = await copying()
    await pause(runId, true)
    expect(await t.catalog.takeRange(a, 'w')).toMatchObject({ attemptId: null, paused: true, state: 'planned' })
    expect(await stateOf(a)).toBe('planned')
    expect(await outcomes(a)).toEqual([])
  })

  test('has its ranges handed back; one that somebody else still works on stays in the queue', async () => {
    const { runId, a } = await copying()
    const [one, two] = [await take(t.catalog, a), await take(t.catalog, a)]
    await pause(runId, true)
    expect(await t.catalog.progressRange(a, one, { read: 1, written: 1 })).toEqual({ next: 'paused' })
    await t.catalog.endAttempt(one, 'handed-back')
    expect(await stateOf(a)).toBe('queued')
    await t.catalog.endAttempt(two, 'handed-back')
    expect(await stateOf(a)).toBe('planned')
    expect(await outcomes(a)).toEqual(['handed-back', 'handed-back'])
  })

  test('still takes a report', async () => {
    const { runId, a } = await copying()
    const attempt = await take(t.catalog, a)
    await pause(runId, true)
    expect(await t.catalog.completeRange(a, attempt, result(attempt))).toEqual({ accepted: true })
  })
})

test('a range whose attempt failed or was handed back stays in the queue, for its job is delivered again', async () => {
  const { a } = await copying()
  for (const end of ['failed', 'handed-back'] as const) {
    await t.catalog.endAttempt(await take(t.catalog, a), end)
    expect(await stateOf(a)).toBe('queued')
  }
  expect(await outcomes(a)).toEqual(['failed', 'handed-back'])
})

test('the first report wins; the others are told so, and keep how they ended', async () => {
  const { a } = await copying()
  const [winner, loser, gone] = [await take(t.catalog, a), await take(t.catalog, a), await take(t.catalog, a)]
  await t.catalog.endAttempt(gone, 'failed')
  expect(await t.catalog.completeRange(a, winner, result(winner))).toEqual({ accepted: true })
  expect(await t.catalog.progressRange(a, loser, { read: 1, written: 1 })).toEqual({ next: 'taken' })
  expect(await t.catalog.progressRange(a, winner, { read: 1, written: 1 })).toEqual({ next: 'go-on' })
  expect(await t.catalog.completeRange(a, loser, result(loser))).toEqual({ accepted: false })
  await t.catalog.endAttempt(loser, 'failed')
  await t.catalog.endAttempt(winner, 'failed')
  expect(await outcomes(a)).toEqual(['accepted', 'lost', 'failed'])
})

test('the report of an attempt that was given up is refused: what it wrote may have been swept', async () => {
  const { a } = await copying()
  const attempt = await take(t.catalog, a)
  await t.catalog.endAttempt(attempt, 'handed-back')
  expect(await t.catalog.progressRange(a, attempt, { read: 1, written: 1 })).toEqual({ next: 'taken' })
  expect(await t.catalog.completeRange(a, attempt, result(attempt))).toEqual({ accepted: false })
  expect(await stateOf(a)).toBe('queued')
  expect(await complete(t.catalog, a)).toEqual({ accepted: true })
})

test('the end of a run loses its open attempts; a late word is remembered, so that what it wrote is looked for again', async () => {
  const { runId, a, b } = await copying()
  const attempt = await take(t.catalog, a)
  await complete(t.catalog, b)
  await t.catalog.failRun(runId, fail)
  expect([await outcomes(a), await outcomes(b)]).toEqual([['lost'], ['accepted']])
  await t.sql.query(
    `update varve.attempts set touched_at = now() - interval '1 hour', swept_at = now() - interval '1 minute' where id = $1`,
    [attempt],
  )
  for (const late of [
    () => t.catalog.progressRange(a, attempt, { read: 1, written: 1 }).catch(() => {}),
    () => t.catalog.completeRange(a, attempt, result(attempt)).catch(() => {}),
    () => t.catalog.endAttempt(attempt, 'failed'),
  ]) {
    await t.sql.query(`update varve.attempts set touched_at = now() - interval '1 hour' where id = $1`, [attempt])
    await late()
    const { rows } = await t.sql.query(`select touched_at > swept_at as after, outcome from varve.attempts where id = $1`, [attempt])
    expect(rows).toEqual([{ after: true, outcome: 'lost' }])
  }
})

test('an attempt that nobody has, or of another range, is an error; objects must be of the attempt', async () => {
  const { a, b } = await copying()
  const attempt = await take(t.catalog, a)
  for (const wrong of [unknownAttempt(), attempt]) {
    await expect(t.catalog.progressRange(b, wrong, { read: 1, written: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(t.catalog.completeRange(b, wrong, result(wrong))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  }
  await expect(t.catalog.endAttempt(unknownAttempt(), 'failed')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  const own = result(attempt).objects[0]!
  for (const key of [`packs/ab/${attempt}00000000x`, `packs/00/${attempt}0000000`, own.key.replace('packs', 'images'), 'varve.json']) {
    await expect(t.catalog.completeRange(a, attempt, result(attempt, { objects: [own, { ...own, key }] }))).rejects.toMatchObject({
      code: 'BAD_REQUEST',
    })
  }
  expect(await stateOf(a)).toBe('queued')
})

test('many workers, takes, reports and a cancel at once: nothing waits for ever, no attempt stays open', async () => {
  for (let round = 0; round < 5; round++) {
    const { run } = await copyingBackup(t, await addVm(t.catalog), 20)
    const work = (await rangeIds(t, run.id)).flatMap(id =>
      [1, 2].map(async worker => {
        const { attemptId } = await t.catalog.takeRange(id, `w${worker}`)
        if (attemptId === null) return
        await t.catalog.progressRange(id, attemptId, { read: 1, written: 1 })
        await t.catalog.completeRange(id, attemptId, result(attemptId))
      }),
    )
    const settled = Promise.allSettled(work)
    await t.catalog.cancelRun(run.id)
    for (const one of await settled) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'RUN_ENDED' })
    }
    const { rows } = await t.sql.query(
      `select count(*) filter (where a.ended_at is null) as open, count(*) filter (where a.outcome = 'accepted') as accepted,
              (select count(*) from varve.ranges where run_id = $1 and state = 'done') as done from varve.attempts a where a.run_id = $1`,
      [run.id],
    )
    expect(Number(rows[0].open)).toBe(0)
    expect(rows[0].accepted).toBe(rows[0].done)
  }
})

test('an attempt that is ended and reported at once: its report is taken exactly when it is the accepted one', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 31)
  const seen = new Set<string>()
  for (const id of (await rangeIds(t, run.id, 'queued')).slice(0, 30)) {
    const attempt = await take(t.catalog, id)
    const [, report] = await Promise.allSettled([
      t.catalog.endAttempt(attempt, 'failed'),
      t.catalog.completeRange(id, attempt, result(attempt)),
      t.catalog.endAttempt(attempt, 'failed'),
    ])
    const { rows } = await t.sql.query(
      `select a.outcome, g.state from varve.attempts a join varve.ranges g on g.id = a.range_id where a.id = $1`,
      [attempt],
    )
    const taken = report.status === 'fulfilled' && report.value.accepted
    expect(rows).toEqual([taken ? { outcome: 'accepted', state: 'done' } : { outcome: 'failed', state: 'queued' }])
    seen.add(rows[0]!.outcome)
  }
  expect(seen.size).toBeGreaterThan(0)
})
