import { type AttemptEnd, CatalogError, type RangeNext, type RunState, type TakenRange } from '@varve/catalog-client'
import { noAttempt, openAttempt, signOfLife } from './attempts.ts'
import type { Database, Sql } from './database.ts'
import { isOver, lockRun, stateError } from './locked-run.ts'
import { lockedRange, lockRange, noRange } from './ranges.ts'

/** What a worker says while it works on a range; what it says at the end is `completeRange` (ranges.ts). */

/** Begin a try at a range; without one (`attemptId` null) when there is nothing to do. */
export async function takeRange(db: Database, id: string, worker: string): Promise<TakenRange> {
  return db.transaction(async sql => {
    const range = await lockedRange(sql, id)
    if (range.state !== 'queued') return { ...range, attemptId: null }
    const run = await openAttempt(sql, id, range.runId, worker)
    const now = { ...range, runState: run.state, paused: run.paused, cancelRequested: run.cancel_requested, attemptId: run.id }
    if (run.state === 'copying' && run.paused && !run.cancel_requested) return { ...now, state: await backToPlanned(sql, id) }
    return now
  })
}

/** For the eye, and the sign of life of range and attempt. */
export async function progressRange(
  db: Database,
  id: string,
  attemptId: string,
  progress: { readonly read: number; readonly written: number },
  /** Told of its run when that has moved. */
  moved?: (runId: string) => void,
): Promise<{ readonly next: RangeNext }> {
  let runId: string | undefined
  const answer = await db.transaction(async sql => {
    const { rows } = await sql.query<ProgressRow>(
      `select g.run_id, g.state, r.state as run_state, r.cancel_requested, r.paused, a.id is not null as known, a.outcome
         from varve.ranges g join varve.runs r on r.id = g.run_id left join varve.attempts a on a.id = $2 and a.range_id = g.id where g.id = $1`,
      [id, attemptId],
    )
    const range = rows[0]
    if (range === undefined) throw noRange(id)
    if (!range.known) throw noAttempt(attemptId, id)
    if (range.outcome === null) {
      // Two who work on the same range: the one that is further is shown.
      const shown = await sql.query(
        `update varve.ranges set progress_read = greatest(progress_read, $2), progress_written = greatest(progress_written, $3), touched_at = now()
          where id = $1 and state = 'queued'`,
        [id, progress.read, progress.written],
      )
      if (shown.rowCount === 1) runId = range.run_id
    }
    await signOfLife(sql, attemptId)
    return isOver(range.run_state) ? stateError({ id: range.run_id, state: range.run_state }) : { next: nextOf(range) }
  })
  if (runId !== undefined) moved?.(runId)
  if (answer instanceof CatalogError) throw answer
  return answer
}

interface ProgressRow extends Record<string, unknown> {
  run_id: string
  state: string
  run_state: RunState
  cancel_requested: boolean
  paused: boolean
  known: boolean
  outcome: string | null
}

function nextOf({ state, outcome, cancel_requested, paused }: ProgressRow): RangeNext {
  // Progress that overtook the answer to its own report.
  if (outcome === 'accepted') return 'go-on'
  if (outcome !== null || state === 'done') return 'taken'
  if (cancel_requested) return 'cancelled'
  return paused ? 'paused' : 'go-on'
}

export async function endAttempt(db: Database, attemptId: string, end: AttemptEnd): Promise<void> {
  await db.transaction(async sql => {
    const { rows } = await sql.query<{ range_id: string; run_id: string }>(`select range_id, run_id from varve.attempts where id = $1`, [
      attemptId,
    ])
    const attempt = rows[0]
    if (attempt === undefined) throw noAttempt(attemptId)
    const state = await lockRange(sql, attempt.range_id)
    const run = await lockRun(sql, attempt.run_id)
    const ended = await sql.query(
      `update varve.attempts set ended_at = now(), outcome = $2, touched_at = now() where id = $1 and ended_at is null`,
      [attemptId, end],
    )
    if (ended.rowCount === 0) await signOfLife(sql, attemptId)
    // The job that brought it is tried again after its pause, and that is the range's sign of life.
    else if (state === 'queued') await sql.query(`update varve.ranges set touched_at = now() where id = $1`, [attempt.range_id])
    if (ended.rowCount === 1 && state === 'queued' && run.state === 'copying' && (await isPaused(sql, run.id))) {
      await backToPlanned(sql, attempt.range_id)
    }
  })
}

/** A range that nobody works on waits in the catalog while its run is paused. @returns its state then. The range is locked. */
async function backToPlanned(sql: Sql, rangeId: string): Promise<'planned' | 'queued'> {
  const { rowCount } = await sql.query(
    `with back as (
       update varve.ranges set state = 'planned', touched_at = now()
        where id = $1 and state = 'queued' and not exists (select 1 from varve.attempts a where a.range_id = $1 and a.ended_at is null)
       returning image_id)
     update varve.images set ranges_queued = ranges_queued - 1 where id in (select image_id from back)`,
    [rangeId],
  )
  return rowCount === 1 ? 'planned' : 'queued'
}

async function isPaused(sql: Sql, runId: string): Promise<boolean> {
  const { rows } = await sql.query<{ paused: boolean }>(`select paused from varve.runs where id = $1`, [runId])
  return rows[0]?.paused === true
}
