import type { RunKind } from '@varve/catalog-client'
import type { Sql } from './database.ts'
import { RANGE_JOB } from './outbox.ts'

/**
 * Fill a run's window: at most `window` of its ranges are in the queue, the rest waits here, so that a huge disk costs the queue no memory.
 * By index and then by disk: the disks of a VM advance side by side. The run is locked by the caller.
 */
export async function fillWindow(sql: Sql, run: { readonly id: string; readonly kind: RunKind }, window: number): Promise<number> {
  const { rows } = await sql.query<{ queued: number }>(
    `select count(*) as queued from varve.ranges where run_id = $1 and state = 'queued'`,
    [run.id],
  )
  const room = window - (rows[0]?.queued ?? 0)
  if (room <= 0) return 0
  // Two statements, because the planner must know the limit: as a subquery it makes it guess a tenth of all ranges and read the whole table.
  const { rowCount } = await sql.query(
    `with due as (
       select id from varve.ranges where run_id = $1 and state = 'planned' order by index, image_id limit $2),
     queued as (
       update varve.ranges set state = 'queued', touched_at = now() where id in (select id from due) returning id)
     insert into varve.outbox (job, run_id, range_id) select $3, $1, id from queued`,
    [run.id, room, RANGE_JOB[run.kind]],
  )
  return rowCount ?? 0
}

/** All ranges in: what comes next. The run is locked by the caller. */
export async function nothingLeftToCopy(sql: Sql, runId: string): Promise<boolean> {
  const { rows } = await sql.query<{ left: boolean }>(
    `select exists (select 1 from varve.images where run_id = $1 and ranges_done < ranges_total) as left`,
    [runId],
  )
  return rows[0]?.left === false
}
