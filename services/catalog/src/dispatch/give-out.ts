import type { RunKind } from '@varve/catalog-client'
import type { Sql } from '../database.ts'
import { PREPARE_JOB, RANGE_JOB } from '../outbox.ts'
import type { RangesToQueue } from './plan-ranges.ts'

/** What was decided, written down: states, counts and jobs in one transaction. */

/** The first jobs of runs. One that was cancelled or paused meanwhile is left out. */
export async function releaseRuns(sql: Sql, runIds: readonly string[]): Promise<void> {
  if (runIds.length === 0) return
  await sql.query(
    `with released as (
       update varve.runs r set released_at = now(), touched_at = now(),
              host_id = coalesce(r.host_id, (select host_id from varve.vms where id = r.vm_id))
        where id = any ($1) and state = 'queued' and released_at is null and not paused returning id, kind)
     insert into varve.outbox (job, run_id) select ${jobOf(PREPARE_JOB, 'kind')}, id from released`,
    [runIds],
  )
}

/**
 * The next ranges of images. Their runs are not locked: whoever takes a range looks at its run. Two statements, because the planner must know how few rows
 * are changed: joined to what it guesses, it reads the whole table.
 */
export async function queueRanges(sql: Sql, due: readonly RangesToQueue[]): Promise<void> {
  if (due.length === 0) return
  const { rows } = await sql.query<{ id: string }>(
    `select g.id from jsonb_to_recordset($1::jsonb) as w ("imageId" uuid, count integer) cross join lateral (
       select id from varve.ranges where image_id = w."imageId" and state = 'planned' order by index limit w.count for no key update skip locked) g`,
    [JSON.stringify(due)],
  )
  await sql.query(
    `with queued as (
       update varve.ranges set state = 'queued', jobs = jobs + 1, queued_at = now(), touched_at = now()
        where id = any ($1) and state = 'planned' returning id, run_id, image_id, index, jobs),
     counted as (
       update varve.images i set ranges_queued = ranges_queued + q.count
         from (select image_id, count(*) as count from queued group by image_id) q where i.id = q.image_id)
     insert into varve.outbox (job, run_id, range_id, number)
       select ${jobOf(RANGE_JOB, 'r.kind')}, q.run_id, q.id, q.jobs - 1 from queued q join varve.runs r on r.id = q.run_id order by q.index, q.image_id`,
    [rows.map(row => row.id)],
  )
}

/** Another job for ranges that have one already; those that a report is about at this moment need none. `extra`: somebody works on it. */
export async function queueAgain(sql: Sql, rangeIds: readonly string[], extra: boolean): Promise<string[]> {
  if (rangeIds.length === 0) return []
  const due = await sql.query<{ id: string }>(
    `select id from varve.ranges where id = any ($1) and state = 'queued' for no key update skip locked`,
    [rangeIds],
  )
  const ids = due.rows.map(row => row.id)
  await sql.query(
    `with queued as (
       update varve.ranges set jobs = jobs + 1, queued_at = now(), touched_at = now(), extra_jobs = extra_jobs + $2
        where id = any ($1) returning id, run_id, jobs)
     insert into varve.outbox (job, run_id, range_id, number)
       select ${jobOf(RANGE_JOB, 'r.kind')}, q.run_id, q.id, q.jobs - 1 from queued q join varve.runs r on r.id = q.run_id`,
    [ids, extra ? 1 : 0],
  )
  return ids
}

/** SQL for the job of a run's kind. */
function jobOf(jobs: Readonly<Record<RunKind, string>>, kind: string): string {
  return `case ${kind} ${Object.entries(jobs)
    .map(([name, job]) => `when '${name}' then '${job}'`)
    .join(' ')} end`
}
