import { createHash } from 'node:crypto'
import { CatalogError, RANGE_TIMES, type RangeResult, type RunKind, type RunState } from '@varve/catalog-client'
import { noAttempt, refuseAttempt } from './attempts.ts'
import type { Database, Sql } from './database.ts'
import { expectState, isOver, stateError } from './locked-run.ts'
import { afterCopying, nothingLeftToCopy } from './preparing.ts'
import { noRange } from './ranges.ts'

/** What an attempt says at its end. */
export interface Report {
  /** Of the range. */
  readonly id: string
  readonly attemptId: string
  readonly result: RangeResult
  readonly hash: Buffer
}

/** Whether the report is the range's; or why not, when that is more than that another one came first. */
export type ReportAnswer = boolean | CatalogError

/**
 * Reports about ranges of one disk, in one transaction: the first report of a range wins. Pages and objects are written, then the run is locked for the counting,
 * which also moves it on. Room in the queue is noticed by the dispatcher.
 *
 * @throws what concerns them all (the run takes no more reports, the database is away); nothing is stored then
 */
export async function storeReports(db: Database, reports: readonly Report[]): Promise<ReportAnswer[]> {
  return db.transaction(async sql => {
    // Ranges are locked before runs, and in one order. Also a single one, by a statement of its own: what is stored must be decided by what is so once the lock is
    // had. An attempt that was ended meanwhile would else have its report taken and not be the accepted one, and what it wrote would count as nobody's.
    await sql.query(LOCK_RANGES, [reports.map(report => report.id)])
    const answers: ReportAnswer[] = []
    for (const report of reports) answers.push(await storeReport(sql, report))
    return answers
  })
}

const LOCK_RANGES = { name: 'lock-ranges', text: `select id from varve.ranges where id = any ($1::uuid[]) order by id for no key update` }

async function storeReport(sql: Sql, report: Report): Promise<ReportAnswer> {
  const stored = await store(sql, report)
  if (stored === null) return refusal(sql, report)
  const run = { id: stored.run_id, kind: stored.kind, state: stored.run_state }
  // Thrown, so that the report is rolled back: a run that ends takes no more.
  expectState(run, 'copying')
  // Never to be: a range that is done without an accepted attempt owns none of its objects.
  if (!stored.accepted) throw new CatalogError('CATALOG_FAULT', `attempt ${report.attemptId} could not be accepted`, { rangeId: report.id })
  // The other images are looked at now that the run is locked: what was reported of them while this waited counts.
  if (stored.image_done && (await nothingLeftToCopy(sql, run.id))) await afterCopying(sql, run)
  return true
}

/** What an object's id has behind its attempt's. */
const COUNTER = /^[0-9a-f]{8}$/

/** What a try writes is told by its ids: so everything it left can be found, also when no report of it ever came. */
export function expectOwnObjects(id: string, attemptId: string, objects: RangeResult['objects']): void {
  const beginnings = ['packs', 'maps'].map(folder => `${folder}/${attemptId.slice(0, 2)}/${attemptId}`)
  const isOwn = (key: string): boolean => beginnings.some(begin => key.startsWith(begin) && COUNTER.test(key.slice(begin.length)))
  const stranger = objects.find(({ key }) => !isOwn(key))
  if (stranger === undefined) return
  throw new CatalogError('BAD_REQUEST', `object ${stranger.key.slice(0, 100)} is not of attempt ${attemptId}`, { rangeId: id, attemptId })
}

interface Stored extends Record<string, unknown> {
  run_id: string
  kind: RunKind
  run_state: RunState
  image_done: boolean
  accepted: boolean
}

async function store(sql: Sql, { id, attemptId, result, hash }: Report): Promise<Stored | null> {
  const { rows } = await sql.query<Stored>(STORE_REPORT, [
    id,
    attemptId,
    result.read,
    result.written,
    result.unchanged,
    result.zero,
    Buffer.from(result.pages, 'base64'),
    JSON.stringify(result.damage),
    ...RANGE_TIMES.map(what => milliseconds(result.time[what])),
    hash,
    JSON.stringify(result.objects),
  ])
  return rows[0] ?? null
}

/**
 * One statement, so that what others wait for is held for the shortest time. Each part is fed by the one before it, which makes the order of locks range, run,
 * attempt, image. The attempt's report is the range's: whoever else works on it has lost, and hears so at its next word. Of a run that is over nothing is counted; the
 * caller sees its state and undoes the rest.
 */
const STORE_REPORT = {
  name: 'store-report',
  text: `
  with stored as (
    update varve.ranges set state = 'done', done_at = now(), touched_at = now(), read = $3, written = $4, unchanged = $5, zero = $6,
           pages = $7, damage = $8, time_source_ms = $9, time_throttle_ms = $10, time_cpu_ms = $11, time_store_ms = $12, report_hash = $13
     where id = $1 and state = 'queued' and exists (select 1 from varve.attempts a where a.id = $2 and a.range_id = $1 and a.ended_at is null)
     returning id, run_id, image_id),
  kept as (
    insert into varve.objects (range_id, run_id, key, size, kind)
    select distinct s.id, s.run_id, o.key, o.size, o.kind from stored s cross join jsonb_to_recordset($14::jsonb) as o (key text, size bigint, kind text)
    returning 1),
  run as materialized (
    select r.id, r.kind, r.state, s.image_id from stored s join varve.runs r on r.id = s.run_id
     where (select count(*) from kept) >= 0 for no key update of r),
  ended as (
    update varve.attempts a set ended_at = now(), outcome = case when a.id = $2 then 'accepted' else 'lost' end
      from run where run.state = 'copying' and a.range_id = $1 and a.ended_at is null returning a.id),
  counted as (
    update varve.images i set ranges_done = ranges_done + 1, ranges_queued = ranges_queued - 1, read = read + $3, written = written + $4,
           unchanged = unchanged + $5, zero = zero + $6, time_source_ms = time_source_ms + $9, time_throttle_ms = time_throttle_ms + $10,
           time_cpu_ms = time_cpu_ms + $11, time_store_ms = time_store_ms + $12, objects = objects + (select count(*) from kept)
      from run where run.state = 'copying' and i.id = run.image_id returning i.ranges_done = i.ranges_total as image_done)
  select r.id as run_id, r.kind, r.state as run_state, coalesce(c.image_done, false) as image_done,
         exists (select 1 from ended where ended.id = $2) as accepted from run r left join counted c on true`,
}

/**
 * Not queued, or no try that is open: done already (by this very report, perhaps), given up before, or its run is over.
 *
 * @returns whether it is accepted all the same, or the error to throw once the sign of life is committed
 */
async function refusal(sql: Sql, { id, attemptId, hash }: Report): Promise<boolean | CatalogError> {
  const { rows } = await sql.query<{
    state: string
    same: boolean
    run_id: string
    run_state: RunState
    outcome: string | null
    known: boolean
  }>(
    `select g.state, g.report_hash = $3 as same, r.id as run_id, r.state as run_state, a.id is not null as known, a.outcome
       from varve.ranges g join varve.runs r on r.id = g.run_id left join varve.attempts a on a.id = $2 and a.range_id = g.id where g.id = $1`,
    [id, attemptId, hash],
  )
  const range = rows[0]
  if (range === undefined) throw noRange(id)
  if (!range.known) throw noAttempt(attemptId, id)
  if (range.outcome === 'accepted') return range.same
  await refuseAttempt(sql, attemptId)
  return range.state !== 'done' && isOver(range.run_state) ? stateError({ id: range.run_id, state: range.run_state }) : false
}

export function reportHash(result: RangeResult): Buffer {
  const objects = result.objects.map(o => [o.key, o.size, o.kind]).sort()
  const damage = result.damage.map(d => [d.offset, d.length, d.code])
  const facts = [result.read, result.written, result.unchanged, result.zero, result.pages, objects, damage]
  return createHash('sha256').update(JSON.stringify(facts)).digest()
}

const milliseconds = (value: number): number => Math.min(Math.round(value), 2 ** 31 - 1)
