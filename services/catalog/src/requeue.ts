import type { Database, Sql } from './database.ts'
import { type LockedRun, lockRun } from './locked-run.ts'
import { addStepJob, presentStep, RANGE_JOB } from './outbox.ts'
import { afterCopying } from './preparing.ts'
import { fillWindow, nothingLeftToCopy } from './window.ts'

/** Put the job of a run's present step into the queue again. An ended run has none. */
export async function requeue(db: Database, id: string, window: number): Promise<void> {
  await db.transaction(async sql => requeueLocked(sql, await lockRun(sql, id), window, 0))
}

/**
 * Jobs are hints and safe to repeat, so this never needs to know what became of the old one. While copying: the queued ranges that were silent for
 * `silenceS` seconds, and whatever the window still has room for. The run is locked by the caller.
 *
 * @returns how many jobs are due.
 */
export async function requeueLocked(sql: Sql, run: LockedRun, window: number, silenceS: number): Promise<number> {
  const step = presentStep(run.kind, run.state)
  if (step === null) return 0
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
  const { rowCount } = await sql.query(
    `with silent as (
       update varve.ranges set touched_at = now()
        where run_id = $1 and state = 'queued' and touched_at <= now() - make_interval(secs => $2)
          and not exists (select 1 from varve.outbox o where o.range_id = ranges.id)
       returning id)
     insert into varve.outbox (job, run_id, range_id) select $3, $1, id from silent`,
    [run.id, silenceS, RANGE_JOB[run.kind]],
  )
  return (rowCount ?? 0) + (await fillWindow(sql, run, window))
}
