import { createHash } from 'node:crypto'
import {
  CatalogError,
  type NewRange,
  type PlatformLimits,
  RANGE_TIMES,
  type RangeForWork,
  type RangeResult,
  type RunState,
} from '@varve/catalog-client'
import { noAttempt, refuseAttempt } from './attempts.ts'
import type { Database, Sql } from './database.ts'
import { limitsOf, underPressure } from './limits.ts'
import { expectSnapshot, expectState, isOver, type LockedRun, lockRun, planChanged, stateError } from './locked-run.ts'
import { afterCopying } from './preparing.ts'
import { pressureAt, type StoredPressure } from './pressure.ts'

/** (imageId, index) twice is once, if it is the same range. After `planned` only ranges that are there already can be named again. */
export async function addRanges(db: Database, id: string, ranges: readonly NewRange[], snapshotId?: string | null): Promise<void> {
  const list = JSON.stringify(ranges.map(r => ({ ...r, extents: r.extents.flatMap(e => [e.offset, e.length]) })))
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (isOver(run.state)) throw stateError(run)
    expectSnapshot(run, snapshotId)
    if (run.state !== 'preparing') {
      const { rows } = await sql.query<{ missing: boolean }>(
        `select exists (select 1 from jsonb_to_recordset($1::jsonb) as s ("imageId" uuid, index integer)
          where not exists (select 1 from varve.ranges r where r.image_id = s."imageId" and r.index = s.index and r.run_id = $2)) as missing`,
        [list, id],
      )
      if (rows[0]?.missing !== false) throw stateError(run)
      return
    }
    await expectImages(sql, run, ranges)
    const inserted = await sql.query<{ added: number }>(INSERT_RANGES, [id, list])
    if (inserted.rows[0]?.added !== ranges.length) await expectSameRanges(sql, run, list)
    await sql.query(`update varve.runs set touched_at = now() where id = $1`, [id])
  })
}

const INSERT_RANGES = `
  with added as (
    insert into varve.ranges (run_id, image_id, index, first_page, page_count, extents, bytes)
    select $1, s."imageId", s.index, s."firstPage", s."pageCount", s.extents, s.bytes
      from jsonb_to_recordset($2::jsonb) as s ("imageId" uuid, index integer, "firstPage" integer, "pageCount" integer, extents jsonb, bytes bigint)
    on conflict (image_id, index) do nothing
    returning image_id, bytes),
  summed as (
    update varve.images i set ranges_total = i.ranges_total + a.ranges, planned = i.planned + a.bytes
    from (select image_id, count(*) as ranges, sum(bytes) as bytes from added group by image_id) a where i.id = a.image_id)
  select count(*)::integer as added from added`

/** Ranges that were there before must be what is added now. */
async function expectSameRanges(sql: Sql, run: LockedRun, list: string): Promise<void> {
  const { rows } = await sql.query<{ differs: boolean }>(`select exists (${DIFFERENT_RANGES}) as differs`, [run.id, list])
  if (rows[0]?.differs !== false) throw planChanged(run, `a range of run ${run.id} is planned differently in the catalog`)
}

const DIFFERENT_RANGES = `
  select 1 from jsonb_to_recordset($2::jsonb) as s ("imageId" uuid, index integer, "firstPage" integer, "pageCount" integer, extents jsonb, bytes bigint)
    join varve.ranges r on r.image_id = s."imageId" and r.index = s.index
   where r.run_id = $1 and (r.first_page, r.page_count, r.bytes, r.extents) is distinct from (s."firstPage", s."pageCount", s.bytes, s.extents)`

/** An image that is gone was dropped with its plan; the foreign key knows those of other runs only as wrong. */
async function expectImages(sql: Sql, run: LockedRun, ranges: readonly NewRange[]): Promise<void> {
  const { rows } = await sql.query<{ gone: boolean }>(
    `select exists (select 1 from unnest($1::uuid[]) as s (id) where not exists (select 1 from varve.images i where i.id = s.id)) as gone`,
    [[...new Set(ranges.map(range => range.imageId))]],
  )
  if (rows[0]?.gone !== false) throw planChanged(run, `an image of run ${run.id} is not there any more`)
}

interface RangeRow extends StoredPressure {
  id: string
  run_id: string
  image_id: string
  index: number
  first_page: number
  page_count: number
  extents: number[]
  bytes: number
  state: RangeForWork['state']
  disk_id: string
  disk_size: number
  block_size: number
  kind: RangeForWork['kind']
  parent_image_id: string | null
  source_image_id: string | null
  platform_id: string
  lease_id: string | null
  snapshot_id: string | null
  run_state: RunState
  cancel_requested: boolean
  paused: boolean
  options: { onDamage?: 'fail' | 'continue' }
  limits: Partial<PlatformLimits>
  now: string
}

const SELECT_RANGE = {
  name: 'select-range',
  text: `
  select g.id, g.run_id, g.image_id, g.index, g.first_page, g.page_count, g.extents, g.bytes, g.state,
         i.disk_id, i.disk_size, i.block_size, i.kind, i.parent_image_id, i.source_image_id,
         r.platform_id, r.lease_id, r.snapshot_id, r.state as run_state, r.cancel_requested, r.paused, r.options,
         p.limits, p.pressure, p.pressure_at, p.pressure_reason, clock_timestamp() as now
    from varve.ranges g join varve.images i on i.id = g.image_id join varve.runs r on r.id = g.run_id join varve.platforms p on p.id = r.platform_id
   where g.id = $1`,
}

/** All that a worker must know of a range. */
export async function selectRange(db: Sql, id: string): Promise<RangeForWork> {
  const { rows } = await db.query<RangeRow>(SELECT_RANGE, [id])
  const row = rows[0]
  if (row === undefined) throw noRange(id)
  return {
    id: row.id,
    runId: row.run_id,
    imageId: row.image_id,
    index: row.index,
    firstPage: row.first_page,
    pageCount: row.page_count,
    extents: pairs(row.extents),
    bytes: row.bytes,
    state: row.state,
    diskId: row.disk_id,
    diskSize: row.disk_size,
    blockSize: row.block_size,
    kind: row.kind,
    parentImageId: row.parent_image_id,
    platformId: row.platform_id,
    leaseId: row.lease_id,
    snapshotId: row.snapshot_id,
    sourceImageId: row.source_image_id,
    onDamage: row.options.onDamage ?? 'fail',
    bytesPerSecond: underPressure(limitsOf(row.limits), pressureAt(row, row.now).level).bytesPerSecond,
    runState: row.run_state,
    cancelRequested: row.cancel_requested,
    paused: row.paused,
  }
}

function pairs(flat: readonly number[]): RangeForWork['extents'] {
  const extents: { offset: number; length: number }[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) extents.push({ offset: flat[i]!, length: flat[i + 1]! })
  return extents
}

export function noRange(id: string): CatalogError {
  return new CatalogError('NOT_FOUND', `there is no range ${id}`, { rangeId: id })
}

/**
 * The first report of a range wins. What is large (pages, objects) is written under the range's own lock, so that many workers do it side by side;
 * the run is locked only for the counting after that, which also moves the run on. Room in the queue is noticed by the dispatcher.
 */
export async function completeRange(
  db: Database,
  id: string,
  attemptId: string,
  result: RangeResult,
  /** Told of its run once the report is durable. */
  counted?: (runId: string) => void,
): Promise<{ accepted: boolean }> {
  expectOwnObjects(id, attemptId, result.objects)
  const hash = reportHash(result)
  let runId: string | undefined
  const answer = await db.transaction(async sql => {
    const first = await storeReport(sql, id, attemptId, result, hash)
    if (first === null) return refusal(sql, id, attemptId, hash)
    const run = await lockRun(sql, first.run_id)
    // Thrown, so that the report is rolled back: a run that ends takes no more.
    expectState(run, 'copying')
    const { rows } = await sql.query<{ left: boolean }>(COUNT_RANGE, [
      id,
      attemptId,
      run.id,
      first.image_id,
      result.read,
      result.written,
      result.unchanged,
      result.zero,
      ...RANGE_TIMES.map(what => milliseconds(result.time[what])),
    ])
    if (rows[0]?.left === false) await afterCopying(sql, run)
    runId = run.id
    return true
  })
  if (answer instanceof CatalogError) throw answer
  if (runId !== undefined) counted?.(runId)
  return { accepted: answer }
}

/**
 * Its report is the range's: whoever else works on it has lost, and hears so at its next word. The run is locked, so that what is told of its other images
 * holds.
 */
const COUNT_RANGE = {
  name: 'count-range',
  text: `
  with ended as (
    update varve.attempts set ended_at = now(), outcome = case when id = $2 then 'accepted' else 'lost' end where range_id = $1 and ended_at is null),
  counted as (
    update varve.images set ranges_done = ranges_done + 1, ranges_queued = ranges_queued - 1,
           read = read + $5, written = written + $6, unchanged = unchanged + $7, zero = zero + $8, time_source_ms = time_source_ms + $9,
           time_throttle_ms = time_throttle_ms + $10, time_cpu_ms = time_cpu_ms + $11, time_store_ms = time_store_ms + $12
     where id = $4 returning ranges_done < ranges_total as left)
  select (select c.left from counted c) or exists (
    select 1 from varve.images where run_id = $3 and id <> $4 and ranges_done < ranges_total) as left`,
}

/** What a try writes is told by its ids: so everything it left can be found, also when no report of it ever came. */
function expectOwnObjects(id: string, attemptId: string, objects: RangeResult['objects']): void {
  const own = new RegExp(`^(packs|maps)/${attemptId.slice(0, 2)}/${attemptId}[0-9a-f]{8}$`)
  const stranger = objects.find(({ key }) => !own.test(key))
  if (stranger === undefined) return
  throw new CatalogError('BAD_REQUEST', `object ${stranger.key.slice(0, 100)} is not of attempt ${attemptId}`, { rangeId: id, attemptId })
}

async function storeReport(
  sql: Sql,
  id: string,
  attemptId: string,
  result: RangeResult,
  hash: Buffer,
): Promise<{ run_id: string; image_id: string } | null> {
  const pages = Buffer.from(result.pages, 'base64')
  const { rows } = await sql.query<{ run_id: string; image_id: string }>(STORE_REPORT, [
    id,
    attemptId,
    result.read,
    result.written,
    result.unchanged,
    result.zero,
    pages,
    JSON.stringify(result.damage),
    ...RANGE_TIMES.map(what => milliseconds(result.time[what])),
    hash,
    JSON.stringify(result.objects),
  ])
  return rows[0] ?? null
}

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
    select distinct s.id, s.run_id, o.key, o.size, o.kind from stored s cross join jsonb_to_recordset($14::jsonb) as o (key text, size bigint, kind text))
  select run_id, image_id from stored`,
}

/**
 * Not queued, or no try that is open: done already (by this very report, perhaps), given up before, or its run is over.
 *
 * @returns whether it is accepted all the same, or the error to throw once the sign of life is committed
 */
async function refusal(sql: Sql, id: string, attemptId: string, hash: Buffer): Promise<boolean | CatalogError> {
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

function reportHash(result: RangeResult): Buffer {
  const objects = result.objects.map(o => [o.key, o.size, o.kind]).sort()
  const damage = result.damage.map(d => [d.offset, d.length, d.code])
  const facts = [result.read, result.written, result.unchanged, result.zero, result.pages, objects, damage]
  return createHash('sha256').update(JSON.stringify(facts)).digest()
}

const milliseconds = (value: number): number => Math.min(Math.round(value), 2 ** 31 - 1)

/** Page references in page order, concatenated. @throws RUN_ENDED long after: they are in the image's root then. */
export async function imagePages(db: Database, imageId: string): Promise<Uint8Array> {
  const { rows } = await db.query<{ pages: Buffer | null; run_id: string; state: RunState; compacted: boolean }>(
    `select (select string_agg(pages, ''::bytea order by first_page) from varve.ranges where image_id = i.id and state = 'done') as pages,
            r.id as run_id, r.state, r.compacted_at is not null as compacted
       from varve.images i join varve.runs r on r.id = i.run_id where i.id = $1`,
    [imageId],
  )
  const image = rows[0]
  if (image === undefined) throw new CatalogError('NOT_FOUND', `there is no image ${imageId}`, { imageId })
  // None is something else than forgotten.
  if (image.compacted) throw stateError({ id: image.run_id, state: image.state })
  return image.pages ?? new Uint8Array()
}

export async function runObjects(
  db: Database,
  id: string,
): Promise<readonly { readonly key: string; readonly size: number; readonly kind: 'pack' | 'map' }[]> {
  const { rows } = await db.query<{ key: string; size: number; kind: 'pack' | 'map' }>(
    `select distinct key, size, kind from varve.objects where run_id = $1 order by key`,
    [id],
  )
  if (rows.length === 0) {
    const run = await db.query<{ id: string; state: RunState; compacted: boolean }>(
      `select id, state, compacted_at is not null as compacted from varve.runs where id = $1`,
      [id],
    )
    if (run.rows[0] === undefined) throw new CatalogError('NOT_FOUND', `there is no run ${id}`, { runId: id })
    if (run.rows[0].compacted) throw stateError(run.rows[0])
  }
  return rows
}
