import { CatalogError, type NewRange, type PlatformLimits, type RangeForWork, type RunState } from '@varve/catalog-client'
import { holdEnd } from './attempts.ts'
import type { Database, Sql } from './database.ts'
import { limitsOf, underPressure } from './limits.ts'
import { expectSnapshot, isOver, type LockedRun, lockRun, planChanged, stateError } from './locked-run.ts'
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
    from (select image_id, count(*) as ranges, sum(bytes) as bytes from added group by image_id) a where i.id = a.image_id and i.run_id = $1)
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

/** All that a worker must know of a range, which is locked; its run cannot end meanwhile. */
const LOCKED_RANGE = {
  name: 'locked-range',
  text: `
  select g.id, g.run_id, g.image_id, g.index, g.first_page, g.page_count, g.extents, g.bytes, g.state,
         i.disk_id, i.disk_size, i.block_size, i.kind, i.parent_image_id, i.source_image_id,
         r.platform_id, r.lease_id, r.snapshot_id, r.state as run_state, r.cancel_requested, r.paused, r.options,
         p.limits, p.pressure, p.pressure_at, p.pressure_reason, clock_timestamp() as now,
         ${holdEnd('g.run_id::text')} as held
    from varve.ranges g join varve.images i on i.id = g.image_id join varve.runs r on r.id = g.run_id join varve.platforms p on p.id = r.platform_id
   where g.id = $1 for no key update of g`,
}

export async function lockedRange(sql: Sql, id: string): Promise<RangeForWork> {
  const { rows } = await sql.query<RangeRow>(LOCKED_RANGE, [id])
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

/** @returns its state */
export async function lockRange(sql: Sql, id: string): Promise<string> {
  const { rows } = await sql.query<{ state: string }>(LOCK_RANGE, [id])
  if (rows[0] === undefined) throw noRange(id)
  return rows[0].state
}

const LOCK_RANGE = { name: 'lock-range', text: `select state from varve.ranges where id = $1 for no key update` }
