import { CatalogError, ENDED_STATES, type RunKind, type RunState } from '@varve/catalog-client'
import type { Sql } from './database.ts'

/** The few fields that decide what may happen to a run. */
export interface LockedRun {
  readonly id: string
  readonly kind: RunKind
  readonly vm_id: string
  readonly state: RunState
  readonly outcome: string | null
  readonly cancel_requested: boolean
  readonly planned_at: string | null
  readonly checkpoint_id: string | null
  readonly snapshot_id: string | null
  readonly released_at: string | null
}

/**
 * Take the run's row for the rest of the transaction: state changes of one run happen one after the other. `no key update`: rows that
 * refer to the run (outbox, objects) can still be written by others.
 */
export async function lockRun(sql: Sql, id: string): Promise<LockedRun> {
  const { rows } = await sql.query<LockedRun & Record<string, unknown>>(LOCK_RUN, [id])
  const run = rows[0]
  if (run === undefined) throw new CatalogError('NOT_FOUND', `there is no run ${id}`, { runId: id })
  return run
}

const LOCK_RUN = {
  name: 'lock-run',
  text: `select id, kind, vm_id, state, outcome, cancel_requested, planned_at, checkpoint_id, snapshot_id, released_at
       from varve.runs where id = $1 for no key update`,
}

export function isOver(state: RunState): boolean {
  return state === 'finishing' || ENDED_STATES.includes(state)
}

/** @throws RUN_ENDED when it is finishing or has ended, CONFLICT when the state is none of those. */
export function expectState(run: { readonly id: string; readonly state: RunState }, ...allowed: readonly RunState[]): void {
  if (allowed.includes(run.state)) return
  throw stateError(run)
}

export function stateError(run: { readonly id: string; readonly state: RunState }): CatalogError {
  const context = { runId: run.id, state: run.state }
  return isOver(run.state)
    ? new CatalogError('RUN_ENDED', `run ${run.id} is ${run.state}`, context)
    : new CatalogError('CONFLICT', `run ${run.id} is ${run.state}`, context)
}

/**
 * A plan holds for the snapshot it was made from and for no other: blocks may have been written between two. `undefined` is not compared. Of a run that
 * is over its state says more.
 *
 * @throws PLAN_CHANGED
 */
export function expectSnapshot(run: LockedRun, snapshotId: string | null | undefined): void {
  if (snapshotId === undefined || isOver(run.state) || run.snapshot_id === snapshotId) return
  throw planChanged(run, `run ${run.id} has another snapshot by now`)
}

export function planChanged(run: { readonly id: string; readonly state: RunState }, message: string): CatalogError {
  return new CatalogError('PLAN_CHANGED', message, { runId: run.id, state: run.state })
}
