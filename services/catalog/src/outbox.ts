import type { RunKind, RunState } from '@varve/catalog-client'
import type { JobName } from '@varve/queue'
import type { Sql } from './database.ts'

/**
 * The transactional outbox: a job that a state change makes due is written as a row in the same transaction; the relay (relay.ts) brings it to the
 * queue afterwards. So neither a crash nor an absent queue can part the two.
 */
export async function addStepJob(sql: Sql, runId: string, job: JobName): Promise<void> {
  await sql.query(`insert into varve.outbox (job, run_id) values ($1, $2)`, [job, runId])
}

/** A preview has no ranges. */
export const RANGE_JOB = { backup: 'read-range', restore: 'write-range', preview: 'read-range' } as const satisfies Record<RunKind, JobName>
export const PREPARE_JOB = { backup: 'prepare-backup', restore: 'prepare-restore', preview: 'prepare-preview' } as const satisfies Record<
  RunKind,
  JobName
>

/** The job of a run's present step; `ranges` while copying, null when it has ended. */
export function presentStep(kind: RunKind, state: RunState): JobName | 'ranges' | null {
  switch (state) {
    case 'queued':
    case 'preparing':
      return PREPARE_JOB[kind]
    case 'copying':
      return 'ranges'
    case 'sealing':
      return 'seal-restore-point'
    case 'finishing':
      return 'finish-run'
    default:
      return null
  }
}

/**
 * The job's id in the queue: the same job waiting twice is once. A range that is given out anew gets a number, for its last job may still be there. No `:`
 * in it.
 */
export function jobId(row: {
  readonly job: JobName
  readonly run_id: string
  readonly range_id: string | null
  readonly number: number
}): string {
  if (row.range_id === null) return `${row.run_id}-${row.job}`
  return row.number === 0 ? row.range_id : `${row.range_id}.${row.number}`
}
