import { randomBytes } from 'node:crypto'
import { CatalogError } from '@varve/catalog-client'
import type { Sql } from './database.ts'

/**
 * Tries at a range. Each is recorded before it writes anything, and ends once: accepted, refused, failed, handed-back or lost. Ids of packs and maps begin
 * with the try's, so whatever lies in the repository is of a try that the catalog knows. Rows are locked in the order range, run, attempt.
 */

/** Under the name of an open try it is that try again: the answer was lost. Range and run are locked by the caller. */
export async function openAttempt(sql: Sql, rangeId: string, runId: string, worker: string): Promise<string> {
  const open = await sql.query<{ id: string; worker: string }>(
    `select id, worker from varve.attempts where range_id = $1 and ended_at is null`,
    [rangeId],
  )
  const same = open.rows.find(attempt => attempt.worker === worker)
  if (same !== undefined) return same.id
  const id = randomBytes(12).toString('hex')
  await sql.query(`insert into varve.attempts (id, range_id, run_id, worker) values ($1, $2, $3, $4)`, [id, rangeId, runId, worker])
  // Nobody else works on it: its progress begins anew.
  const alone = open.rows.length === 0 ? ', progress_read = 0, progress_written = 0' : ''
  await sql.query(`update varve.ranges set touched_at = now()${alone} where id = $1`, [rangeId])
  return id
}

/** Its report is the range's. Whoever else works on it has lost, and hears so at its next word. */
export async function acceptAttempt(sql: Sql, rangeId: string, attemptId: string): Promise<void> {
  await sql.query(
    `update varve.attempts set ended_at = now(), outcome = case when id = $2 then 'accepted' else 'lost' end where range_id = $1 and ended_at is null`,
    [rangeId, attemptId],
  )
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
