import type { Sql } from '../database.ts'
import { queueAgain } from './give-out.ts'
import { isSlow } from './slow-range.ts'

/** Ranges that get another job although their last one was taken: what this costs follows the attempts that are open, not the ranges. */

/** Ranges of one pass. */
const AT_ONCE = 1000
/** Jobs besides its first that a range gets because it is slow. */
const EXTRA_JOBS_MAX = 2
/** The last ranges of each disk that say what is usual. */
const COMPARED = 51

/**
 * Whoever took the last job gives no sign of life: dead, hung or cut off. The attempt stays open, for it may only be paused; the first report wins.
 *
 * @returns ids of the ranges
 */
export async function queueSilent(sql: Sql, silenceS: number): Promise<string[]> {
  const { rows } = await sql.query<{ id: string }>(
    `select g.id from varve.attempts a join varve.ranges g on g.id = a.range_id join varve.runs r on r.id = g.run_id
      where a.ended_at is null and g.state = 'queued' and r.state = 'copying' and not r.paused
      group by g.id
     having max(a.touched_at) < now() - make_interval(secs => $1) and max(a.started_at) >= g.queued_at
      limit $2`,
    [silenceS, AT_ONCE],
  )
  return queueAgain(
    sql,
    rows.map(row => row.id),
    false,
  )
}

/**
 * At the end of a run its last ranges decide when it is done: where no range waits any more, one whose only worker takes far longer than usual is
 * given to another as well.
 *
 * @returns ids of the ranges
 */
export async function queueSlow(
  sql: Sql,
  { silenceS, slowS, room }: { readonly silenceS: number; readonly slowS: number; readonly room: number },
): Promise<string[]> {
  if (room <= 0) return []
  const { rows } = await sql.query<{ id: string; run_id: string; running: number }>(
    `select g.id, g.run_id, (extract(epoch from now() - min(a.started_at) filter (where a.touched_at >= now() - make_interval(secs => $1))) * 1000)::float8 as running
       from varve.attempts a join varve.ranges g on g.id = a.range_id join varve.runs r on r.id = g.run_id
      where a.ended_at is null and g.state = 'queued' and g.extra_jobs < $3 and r.state = 'copying' and not r.paused
        and not exists (select 1 from varve.images i where i.run_id = r.id and i.ranges_done + i.ranges_queued < i.ranges_total)
      group by g.id
     having count(*) filter (where a.touched_at >= now() - make_interval(secs => $1)) = 1 and max(a.started_at) >= g.queued_at
        and min(a.started_at) filter (where a.touched_at >= now() - make_interval(secs => $1)) < now() - make_interval(secs => $2)
      order by running desc limit $4`,
    [silenceS, slowS, EXTRA_JOBS_MAX, Math.min(room, AT_ONCE)],
  )
  const usual = await usualOf(sql, [...new Set(rows.map(row => row.run_id))])
  const slow = rows.filter(row => isSlow({ runningMs: row.running, usualMs: usual.get(row.run_id) ?? null }, slowS * 1000))
  return queueAgain(
    sql,
    slow.map(row => row.id),
    true,
  )
}

/** Middle of what the last ranges of runs took, ms. */
async function usualOf(sql: Sql, runIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (runIds.length === 0) return new Map()
  const { rows } = await sql.query<{ run_id: string; usual: number }>(
    `select i.run_id, percentile_cont(0.5) within group (order by t.ms) as usual
       from varve.images i cross join lateral (
         select extract(epoch from a.ended_at - a.started_at)::float8 * 1000 as ms
           from varve.ranges g join varve.attempts a on a.range_id = g.id and a.outcome = 'accepted'
          where g.image_id = i.id and g.state = 'done' order by g.index desc limit $2) t
      where i.run_id = any ($1) group by i.run_id`,
    [runIds, COMPARED],
  )
  return new Map(rows.map(({ run_id, usual }) => [run_id, usual]))
}
