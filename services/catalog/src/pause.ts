import type { Run } from '@varve/catalog-client'
import type { Database } from './database.ts'
import { isOver, lockRun, stateError } from './locked-run.ts'
import { publicRun, selectRun } from './run-row.ts'

/**
 * A mark beside the state, not a state: what a run is held at stays told. Whoever gives out ranges gives none of a run with the mark, and workers that have
 * one hand it back at their next look.
 */
export async function pauseRun(db: Database, id: string): Promise<Run> {
  return db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (isOver(run.state)) throw stateError(run)
    await sql.query(`update varve.runs set paused = true where id = $1 and not paused`, [id])
    return publicRun(await selectRun(sql, id))
  })
}

/** The silence of the pause is no sign of death: what waits counts from now. */
export async function resumeRun(db: Database, id: string): Promise<Run> {
  return db.transaction(async sql => {
    await lockRun(sql, id)
    await sql.query(`update varve.runs set paused = false, touched_at = now() where id = $1 and paused`, [id])
    return publicRun(await selectRun(sql, id))
  })
}
