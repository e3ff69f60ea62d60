import type { Database, Sql } from './database.ts'
import { type LockedRun, lockRun } from './locked-run.ts'
import { addStepJob, presentStep, RANGE_JOB } from './outbox.ts'
import { afterCopying, nothingLeftToCopy } from './preparing.ts'

/** Put the job of a run's present step into the queue again. An ended run has none, and one that was not given out yet has none either. */
export async function requeue(db: Database, id: string): Promise<void> {
  await db.transaction(async sql => requeueLocked(sql, await lockRun(sql, id), 0))
}

/**
 * Jobs are hints and safe to repeat, so this never needs to know what became of the old one. While copying: the queued ranges that were silent for
 * `silenceS` seconds, under the number of their last job. Ranges that are not in the queue are the dispatcher's business. The run is locked by the caller.
 *
 * @returns how many jobs are due.
 */
export async function requeueLocked(sql: Sql, run: LockedRun, silenceS: number): Promise<number> {
  const step = presentStep(run.kind, run.state)
  if (step === null || run.released_at === null) return 0
  if (step !== 'ranges') {
    await sql.query(`update varve.runs set touched_at = now() where id = $1`, [run.id])
    // One that still waits to be relayed is enough.
    const waiting = await sql.query(`select 1 from varve.outbox where run_id = $1 and job = $2 limit 1`, [run.id, step])
    if (waiting.rowCount === 0) await addStepJob(sql, run.id, step)
    return 1
  }
  if (await nothingLeftToCopy(sql, run.id)) {
    await afterCopying(sql, run)
    return 1
  }
  // One that is locked has somebody who reports about it.
  const due = await sql.query<{ id: string }>(
    `select id from varve.ranges
      where run_id = $1 and state = 'queued' and touched_at <= now() - make_interval(secs => $2)
        and not exists (select 1 from varve.outbox o where o.range_id = ranges.id)
      for no key update skip locked`,
    [run.id, silenceS],
  )
  const { rowCount } = await sql.query(
    `with silent as (
       update varve.ranges set touched_at = now() where id = any ($2) returning id, jobs)
     insert into varve.outbox (job, run_id, range_id, number) select $3, $1, id, jobs - 1 from silent`,
    [run.id, due.rows.map(row => row.id), RANGE_JOB[run.kind]],
  )
  return rowCount ?? 0
}
