import type { AttemptsToSweep, AttemptToSweep, ImageOwner, ObjectOwner, ObjectToSweep } from '@varve/catalog-client'
import type { Database } from './database.ts'

/**
 * Whose is an object of the repository? Each answer is one statement, so that a run that ends or a point that is sealed meanwhile is seen before or
 * after, never in between. `ended` is final: what is owned by nobody today is never owned again.
 */

const SWEEP_LIMIT = 1000

/**
 * By the try whose id the object's begins with. What an accepted try wrote is kept unless its run ended without success: once sealed, later points may name
 * it, even when its own point is gone. What another wrote is live until that try has ended and its range is done by another one, or its run has ended.
 */
export async function objectOwners(db: Database, keys: readonly string[]): Promise<ObjectOwner[]> {
  const { rows } = await db.query<ObjectOwner & Record<string, unknown>>(
    `select k.key, a.run_id as "runId", a.id as "attemptId",
            case when a.id is null then 'none'
                 when a.outcome = 'accepted' then
                   case when r.ended_at is null then 'live' when r.outcome in ('failed', 'cancelled') then 'ended' else 'kept' end
                 when r.ended_at is not null or (a.outcome is not null and g.state = 'done') then 'ended'
                 else 'live' end as owner
       from unnest($1::text[]) with ordinality as k (key, n)
       left join varve.attempts a on a.id = left(substring(k.key from '[^/]*$'), 24)
       left join varve.ranges g on g.id = a.range_id
       left join varve.runs r on r.id = a.run_id
      order by k.n`,
    [keys],
  )
  return rows
}

export async function imageOwners(db: Database, imageIds: readonly string[]): Promise<ImageOwner[]> {
  const { rows } = await db.query<ImageOwner & Record<string, unknown>>(
    `select k.id as "imageId", i.run_id as "runId", p.restore_point_id as "restorePointId",
            case when i.id is null then 'none' when p.image_id is not null then 'kept' when r.ended_at is null then 'live'
                 when r.outcome in ('failed', 'cancelled') then 'ended' else 'kept' end as owner
       from unnest($1::uuid[]) with ordinality as k (id, n)
       left join varve.images i on i.id = k.id
       left join varve.runs r on r.id = i.run_id
       left join varve.restore_point_images p on p.image_id = i.id
      order by k.n`,
    [imageIds],
  )
  return rows
}

export async function sealedPoints(db: Database, ids: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(`select id from varve.restore_points where id = any ($1::uuid[])`, [ids])
  return rows.map(({ id }) => id)
}

/** A try whose range is still open may yet report: it is left alone until another one is accepted or the run has ended. */
const NEVER_ACCEPTED = `a.outcome is distinct from 'accepted'
  and (exists (select 1 from varve.runs r where r.id = a.run_id and r.ended_at is not null)
    or (a.outcome is not null and exists (select 1 from varve.ranges g where g.id = a.range_id and g.state = 'done')))`

/** Not swept yet, or heard of since: a worker that was taken for dead may write on until it is told. Each has an index. */
const UNSWEPT = ['a.swept_at is null', 'a.swept_at < a.touched_at'] as const

/**
 * What a store was asked to keep may be kept after the client gave up, or died: a try is swept once so much time has gone by since its end and its last word, which
 * is more than any PUT is given.
 */
const SETTLED = `greatest(a.ended_at, a.touched_at) < now() - interval '10 minutes'`

export async function attemptsToSweep(db: Database, exceptRuns: readonly string[]): Promise<AttemptsToSweep> {
  // One answer for both, so that nothing happens between the time and the look.
  const due = UNSWEPT.map(
    unswept =>
      `select a.id, a.run_id from varve.attempts a where ${unswept} and ${SETTLED} and not a.run_id = any ($1::uuid[]) and ${NEVER_ACCEPTED}`,
  )
  const { rows } = await db.query<{ askedAt: string; attempts: AttemptToSweep[] }>(
    `select now()::text as "askedAt", coalesce(jsonb_agg(jsonb_build_object('id', d.id, 'runId', d.run_id)), '[]') as attempts
       from (${due.join(' union all ')} limit ${SWEEP_LIMIT}) d`,
    [exceptRuns],
  )
  return rows[0]!
}

/** As of the time at which they were asked for: what was written since, and told with a last word, is swept again. One that nobody ended was lost with its run. */
export async function attemptsSwept(db: Database, ids: readonly string[], askedAt: string): Promise<void> {
  await db.query(
    `update varve.attempts a set swept_at = $2::timestamptz, ended_at = coalesce(a.ended_at, now()), outcome = coalesce(a.outcome, 'lost')
      where a.id = any ($1) and ${NEVER_ACCEPTED}`,
    [ids, askedAt],
  )
}

const WITHOUT_POINT = `r.kind = 'backup' and r.ended_at is not null and r.outcome in ('failed', 'cancelled')
  and not exists (select 1 from varve.restore_points p where p.run_id = r.id)`

export async function objectsToSweep(db: Database, exceptRuns: readonly string[]): Promise<ObjectToSweep[]> {
  const { rows } = await db.query<ObjectToSweep & Record<string, unknown>>(
    `select distinct o.key, o.run_id as "runId" from varve.runs r join varve.objects o on o.run_id = r.id
      where ${WITHOUT_POINT} and not r.id = any ($1::uuid[]) limit ${SWEEP_LIMIT}`,
    [exceptRuns],
  )
  return rows
}

export async function objectsSwept(db: Database, objects: readonly ObjectToSweep[]): Promise<void> {
  await db.query(
    `delete from varve.objects o using jsonb_to_recordset($1::jsonb) as s (key text, "runId" uuid), varve.runs r
      where o.key = s.key and o.run_id = s."runId" and r.id = o.run_id and ${WITHOUT_POINT}`,
    [JSON.stringify(objects)],
  )
}
