import { randomBytes } from 'node:crypto'
import { CatalogError, type RunState } from '@varve/catalog-client'
import type { Sql } from './database.ts'

/**
 * Tries at a range. Each is recorded before it writes anything, and ends once: accepted, refused, failed, handed-back or lost. Ids of packs and maps begin
 * with the try's, so whatever lies in the repository is of a try that the catalog knows. Rows are locked in the order range, run, attempt.
 */

/** A run as it is when a try at one of its ranges begins. */
export interface RunOfAttempt extends Record<string, unknown> {
  readonly state: RunState
  readonly paused: boolean
  readonly cancel_requested: boolean
  /** The try; null when nothing of the run is to be worked on. */
  readonly id: string | null
}

/**
 * Under the name of an open try it is that try again: the answer was lost. The range is locked by the caller, and in the queue, and the end of the run is held up
 * (`holdEnd`): until the try is written down the run cannot end, which would miss it.
 */
export async function openAttempt(sql: Sql, rangeId: string, runId: string, worker: string): Promise<RunOfAttempt> {
  const { rows } = await sql.query<RunOfAttempt>(OPEN_ATTEMPT, [rangeId, runId, worker, randomBytes(12).toString('hex')])
  return rows[0]!
}

/** What an earlier try left of its progress goes when nobody else works on the range; a range that has just been given out shows no sign of life yet. */
const OPEN_ATTEMPT = {
  name: 'open-attempt',
  text: `
  with run as materialized (
    select state, paused, cancel_requested from varve.runs where id = $2),
  open as (
    select id, worker from varve.attempts where range_id = $1 and ended_at is null),
  added as (
    insert into varve.attempts (id, range_id, run_id, worker)
    select $4, $1, $2, $3 from run where state = 'copying' and not paused and not cancel_requested and not exists (select 1 from open where worker = $3)
    returning id),
  touched as (
    update varve.ranges set touched_at = now(), progress_read = case when o.alone then 0 else progress_read end,
           progress_written = case when o.alone then 0 else progress_written end
      from (select not exists (select 1 from open) as alone) o
     where ranges.id = $1 and exists (select 1 from added)
       and (touched_at < now() - interval '2 seconds' or o.alone and (progress_read > 0 or progress_written > 0)))
  select r.state, r.paused, r.cancel_requested,
         case when r.state = 'copying' and not r.paused and not r.cancel_requested
              then coalesce((select id from open where worker = $3), (select id from added)) end as id
    from run r`,
}

/** It reported too late; one that had ended before stays as it ended. */
export async function refuseAttempt(sql: Sql, attemptId: string): Promise<void> {
  await sql.query(
    `update varve.attempts set touched_at = now(), ended_at = coalesce(ended_at, now()), outcome = coalesce(outcome, 'refused') where id = $1`,
    [attemptId],
  )
}

/**
 * SQL that holds up the end of a run until the transaction is over; it is to come in a statement before the one that looks at the run's state. A lock of its own: a
 * lock of the run's row, which reports take, would have tries and reports wait for each other.
 */
export const holdEnd = (runId: string): string => `pg_advisory_xact_lock_shared(hashtextextended('varve end ' || ${runId}, 0))`

/** A run that ends takes no more reports: its open attempts are lost. The run is locked by the caller, and its new state written. */
export async function loseAttempts(sql: Sql, runId: string): Promise<void> {
  await sql.query(`select pg_advisory_xact_lock(hashtextextended('varve end ' || $1::text, 0))`, [runId])
  // The last two conditions follow from the first; they are those of the index.
  await sql.query(
    `update varve.attempts set ended_at = now(), outcome = 'lost'
      where run_id = $1 and ended_at is null and swept_at is null and outcome is distinct from 'accepted'`,
    [runId],
  )
}

/** Also of one that has ended: what it may have written since is swept after its last word. */
export async function signOfLife(sql: Sql, attemptId: string): Promise<void> {
  await sql.query(`update varve.attempts set touched_at = now() where id = $1`, [attemptId])
}

export function noAttempt(attemptId: string, rangeId?: string): CatalogError {
  const of = rangeId === undefined ? '' : ` of range ${rangeId}`
  return new CatalogError('NOT_FOUND', `there is no attempt ${attemptId}${of}`, {
    attemptId,
    ...(rangeId === undefined ? {} : { rangeId }),
  })
}
