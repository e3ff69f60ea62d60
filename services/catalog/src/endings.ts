import { CatalogError, type Outcome, type RangeTime, type RunKind, type SealRequest } from '@varve/catalog-client'
import type { ErrorReport } from '@varve/errors'
import { loseAttempts } from './attempts.ts'
import { bottleneckOf } from './bottleneck.ts'
import type { Database, Sql } from './database.ts'
import { expectState, isOver, lockRun } from './locked-run.ts'
import { addStepJob } from './outbox.ts'
import { lockRange } from './ranges.ts'

export const CANCELLED = { outcome: 'cancelled', reason: 'CANCELLED', message: 'cancelled on request' } as const

/** To `finishing` with its outcome settled; the clean-up job follows. The run is locked by the caller. */
export async function endRun(
  sql: Sql,
  id: string,
  end: { readonly outcome: Outcome; readonly reason?: string; readonly message?: string },
): Promise<void> {
  await sql.query(
    `update varve.runs set state = 'finishing', paused = false, outcome = $2, reason = $3, message = $4, touched_at = now() where id = $1`,
    [id, end.outcome, end.reason ?? null, end.message ?? null],
  )
  await loseAttempts(sql, id)
  await addStepJob(sql, id, 'finish-run')
}

/** A range that cannot be done where it was tried. */
export interface FailedRange {
  readonly id: string
  /** Seconds without a sign of life after which a worker counts as dead. */
  readonly silenceS: number
}

/** First outcome wins: a run that is finishing or ended stays as it is. So does one whose failed range is in other hands. */
export async function failRun(db: Database, id: string, error: ErrorReport, range?: FailedRange): Promise<void> {
  await db.transaction(async sql => {
    if (range !== undefined) await lockRange(sql, range.id)
    const run = await lockRun(sql, id)
    if (isOver(run.state)) return
    if (range !== undefined && (await isInOtherHands(sql, range))) return
    const end = error.code === 'CANCELLED' ? CANCELLED : { outcome: 'failed' as const, reason: error.code, message: error.message }
    await endRun(sql, id, end)
  })
}

/** Done, or somebody who was heard of lately is at it, and will end the run if it fails, too. Whoever is dead keeps its attempt open and does not count. */
async function isInOtherHands(sql: Sql, { id, silenceS }: FailedRange): Promise<boolean> {
  const { rowCount } = await sql.query(
    `select 1 from varve.ranges r where r.id = $1
        and (r.state = 'done' or exists (
          select 1 from varve.attempts a
           where a.range_id = r.id and a.ended_at is null and a.touched_at >= now() - make_interval(secs => $2)))`,
    [id, silenceS],
  )
  return rowCount === 1
}

export interface EndedRun {
  readonly kind: RunKind
  readonly outcome: Outcome
  /** What most of the time of its ranges went to; null without ranges. */
  readonly bottleneck: RangeTime | null
}

/**
 * Clean-up is done: `finishing` -> the outcome. A run that has ended owns nothing: with a resource that is not struck off it is not closed.
 *
 * @returns what ended; null when it had ended before
 */
export async function closeRun(db: Database, id: string): Promise<EndedRun | null> {
  return db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (isOver(run.state) && run.state !== 'finishing') return null
    expectState(run, 'finishing')
    const owning = await sql.query(
      `select 1 from varve.runs where id = $1 and num_nonnulls(snapshot_name, snapshot_id, lease_id, created_vm_id) > 0`,
      [id],
    )
    if (owning.rowCount !== 0)
      throw new CatalogError('CONFLICT', `run ${id} still owns something on its platform`, { runId: id, state: run.state })
    const { rows } = await sql.query<Omit<EndedRun, 'bottleneck'> & Record<string, unknown>>(
      `update varve.runs set state = outcome, ended_at = now(), touched_at = now() where id = $1 returning kind, outcome`,
      [id],
    )
    const ended = rows[0]
    return ended === undefined ? null : { ...ended, bottleneck: await bottleneckOfRun(sql, id) }
  })
}

async function bottleneckOfRun(sql: Sql, id: string): Promise<RangeTime | null> {
  const { rows } = await sql.query<Record<RangeTime, number>>(
    `select coalesce(sum(time_source_ms), 0)::bigint as source, coalesce(sum(time_throttle_ms), 0)::bigint as throttle,
            coalesce(sum(time_cpu_ms), 0)::bigint as cpu, coalesce(sum(time_store_ms), 0)::bigint as store
       from varve.images where run_id = $1`,
    [id],
  )
  return bottleneckOf(rows[0]!)
}

/**
 * The one transaction that makes a restore point final (invariant 2): the point with its checkpoint, a root for every image,
 * the chain, and the run's success. The database checks completeness again at commit (restore_points_complete).
 */
export async function seal(db: Database, id: string, request: SealRequest): Promise<void> {
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (await sealedAlready(sql, id, request.restorePointId)) return
    expectState(run, 'sealing')
    if (run.checkpoint_id === null) throw new CatalogError('CONFLICT', 'the run has no checkpoint id', { runId: id, state: run.state })
    const images = await sql.query<{ id: string; kind: string; written: number; parent_point_id: string | null }>(
      `select i.id, i.kind, i.written, p.restore_point_id as parent_point_id
         from varve.images i left join varve.restore_point_images p on p.image_id = i.parent_image_id where i.run_id = $1`,
      [id],
    )
    const wanted = new Set(images.rows.map(i => i.id))
    const given = new Set(request.images.map(i => i.imageId))
    if (given.size !== request.images.length || given.size !== wanted.size || ![...given].every(imageId => wanted.has(imageId))) {
      throw new CatalogError('BAD_REQUEST', 'a point is sealed with one root for every image of its run', { runId: id })
    }
    if (images.rows.some(i => i.parent_point_id !== null && i.parent_point_id !== request.parentId)) {
      throw new CatalogError('BAD_REQUEST', 'an incremental image has another parent than the point', {
        runId: id,
        parentId: request.parentId,
      })
    }
    const chainId = await chainOf(
      sql,
      run.vm_id,
      request.parentId,
      images.rows.some(i => i.kind === 'incremental'),
    )
    await insertPoint(sql, { ...run, checkpoint_id: run.checkpoint_id }, request, chainId)
    await endRun(sql, id, { outcome: 'succeeded' })
  })
}

async function sealedAlready(sql: Sql, runId: string, restorePointId: string): Promise<boolean> {
  const { rows } = await sql.query<{ id: string }>(`select id from varve.restore_points where run_id = $1`, [runId])
  const sealed = rows[0]
  if (sealed === undefined) return false
  if (sealed.id === restorePointId) return true
  throw new CatalogError('CONFLICT', 'the run has sealed another restore point', { runId, restorePointId: sealed.id, state: 'sealed' })
}

/** A point with at least one incremental image goes on with its parent's chain; one of fulls only begins a new one. */
async function chainOf(sql: Sql, vmId: string, parentId: string | null, incremental: boolean): Promise<string> {
  if (parentId !== null) {
    const { rows } = await sql.query<{ chain_id: string }>(`select chain_id from varve.restore_points where id = $1 and vm_id = $2`, [
      parentId,
      vmId,
    ])
    if (rows[0] === undefined) throw new CatalogError('BAD_REQUEST', 'the parent is not a sealed point of this VM', { parentId })
    if (incremental) return rows[0].chain_id
  }
  const { rows } = await sql.query<{ id: string }>(`insert into varve.chains (vm_id) values ($1) returning id`, [vmId])
  return rows[0]!.id
}

async function insertPoint(
  sql: Sql,
  run: { readonly id: string; readonly vm_id: string; readonly checkpoint_id: string },
  request: SealRequest,
  chainId: string,
): Promise<void> {
  await sql.query(
    `insert into varve.restore_points (id, vm_id, run_id, chain_id, parent_id, created_at, checkpoint_id, manifest_key, stored)
     select $1, $2, $3, $4, $5, $6, $7, $8, coalesce(sum(size), 0)
       from (select distinct key, size from varve.objects where run_id = $3) o`,
    [request.restorePointId, run.vm_id, run.id, chainId, request.parentId, request.createdAt, run.checkpoint_id, request.manifestKey],
  )
  await sql.query(
    `insert into varve.restore_point_images (restore_point_id, image_id, root_key, merkle_root, cbt)
     select $1, s."imageId", s."rootKey", s."merkleRoot", s.cbt
       from jsonb_to_recordset($2::jsonb) as s ("imageId" uuid, "rootKey" text, "merkleRoot" text, cbt boolean)`,
    [request.restorePointId, JSON.stringify(request.images)],
  )
}
