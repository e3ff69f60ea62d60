import { randomBytes } from 'node:crypto'
import { CatalogError } from '@varve/catalog-client'
import type { Sql } from './database.ts'

/**
 * Tries at a range. Each is recorded before it writes anything, and ends once: accepted, refused, failed, handed-back or lost. Ids of packs and maps begin
 * with the try's, so whatever lies in the repository is of a try that the catalog knows. Rows are locked in the order range, run, attempt.
 */

/** Under the name of an open try it is that try again: the answer was lost. Range and run are locked by the caller. */
export async function openAttempt(sql: Sql, rangeId: string, runId: string, worker: string): Promise<string> {
  const id = randomBytes(12).toString('hex')
  const { rows } = await sql.query<{ id: string }>(OPEN_ATTEMPT, [rangeId, runId, worker, id])
  return rows[0]!.id
}

/** What an earlier try left of its progress goes when nobody else works on the range; a range that has just been given out shows no sign of life yet. */
const OPEN_ATTEMPT = {
  name: 'open-attempt',
  text: `
  with open as (
    select id, worker from varve.attempts where range_id = $1 and ended_at is null),
  added as (
    insert into varve.attempts (id, range_id, run_id, worker)
    select $4, $1, $2, $3 where not exists (select 1 from open where worker = $3) returning id),
  touched as (
    update varve.ranges set touched_at = now(), progress_read = case when o.alone then 0 else progress_read end,
           progress_written = case when o.alone then 0 else progress_written end
      from (select not exists (select 1 from open) as alone) o
     where ranges.id = $1 and exists (select 1 from added)
       and (touched_at < now() - interval '2 seconds' or o.alone and (progress_read > 0 or progress_written > 0)))
  select id from open where worker = $3 union all select id from added`,
}

/** It reported too late; one that had ended before stays as it ended. */
export async function refuseAttempt(sql: Sql, attemptId: string): Promise<void> {
  await sql.query(
    `update varve.attempts set touched_at = now(), ended_at = coalesce(ended_at, now()), outcome = coalesce(outcome, 'refused') where id = $1`,
    [attemptId],
  )
}

/** A run that ends takes no more reports: its open attempts are lost. The run is locked by the caller. */
export async function loseAttempts(sql: Sql, runId: string): Promise<void> {
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
