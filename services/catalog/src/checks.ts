import { randomUUID } from 'node:crypto'
import {
  CatalogError,
  type Check,
  type CheckEnd,
  type CheckFilter,
  type CheckProgress,
  type CheckRequest,
  type CheckScope,
  type CheckState,
  type CheckSummary,
  type CheckWithFindings,
  type Finding,
} from '@varve/catalog-client'
import type { Database, Sql } from './database.ts'

/** Seconds without a sign of life after which a check is given to another worker. */
export const CHECK_SILENCE_S = 60
const CHECKS_LISTED = 20
/** A periodic look at everything that failed is not tried again with each of the others. */
const RETRY_WHOLE_S = 3600
/** How long checks are kept that are made at intervals: they are many. Of others old-rows.ts takes care. */
const KEEP_PERIODIC = '1 day'

interface CheckRow {
  id: string
  scope: CheckScope
  sweep: boolean
  periodic: boolean
  state: CheckState
  worker: string | null
  created_at: string
  ended_at: string | null
  progress: CheckProgress | Record<string, never>
  summary: CheckSummary | null
  reason: string | null
  message: string | null
}

const COLUMNS = 'id, scope, sweep, periodic, state, worker, created_at, ended_at, progress, summary, reason, message'

function toCheck(row: CheckRow): Check {
  return {
    id: row.id,
    scope: row.scope,
    sweep: row.sweep,
    periodic: row.periodic,
    state: row.state,
    worker: row.worker,
    createdAt: row.created_at,
    endedAt: row.ended_at,
    progress: 'step' in row.progress ? (row.progress as CheckProgress) : null,
    summary: row.summary,
    reason: row.reason,
    message: row.message,
  }
}

export async function createCheck(db: Database, request: CheckRequest, id: string = randomUUID()): Promise<Check> {
  await db.query(`insert into varve.checks (id, scope, sweep) values ($1, $2, $3) on conflict (id) do nothing`, [
    id,
    request.scope,
    request.sweep,
  ])
  const { rows } = await db.query<CheckRow & Record<string, unknown>>(`select ${COLUMNS} from varve.checks where id = $1`, [id])
  return toCheck(rows[0]!)
}

/** However many ask at once: the index lets one in, and what is open or was made a moment ago keeps all out. Old checks go on this occasion. */
export async function createPeriodicCheck(db: Database, everySeconds: number, wholeEverySeconds: number): Promise<Check> {
  const { rowCount } = await db.query(
    `insert into varve.checks (scope, sweep, periodic)
     select case when $2 > 0 and not exists (select 1 from varve.checks where periodic and scope = 'all'
                   and created_at > now() - make_interval(secs => case when state = 'failed' then least($2, ${RETRY_WHOLE_S}) else $2 end))
                 then 'all' else 'leaks' end, true, true
      where not exists (select 1 from varve.checks where periodic
        and (state in ('queued', 'running') or created_at > now() - make_interval(secs => $1)))
     on conflict do nothing`,
    [everySeconds, wholeEverySeconds],
  )
  if (rowCount === 1) await db.query(DELETE_OLD)
  const [newest] = await listChecks(db, { periodic: true, limit: 1 })
  return newest!
}

/** The newest of a scope that was done stays. */
const DELETE_OLD = `
  delete from varve.checks c
   where c.periodic and c.ended_at < now() - interval '${KEEP_PERIODIC}'
     and exists (select 1 from varve.checks n where n.periodic and n.scope = c.scope and n.state = 'done' and n.created_at > c.created_at)`

export async function getCheck(db: Database, id: string): Promise<CheckWithFindings> {
  const { rows } = await db.query<CheckRow & { findings: Finding[] | null } & Record<string, unknown>>(
    `select ${COLUMNS}, findings from varve.checks where id = $1`,
    [id],
  )
  const row = rows[0]
  if (row === undefined) throw noCheck(id)
  return { ...toCheck(row), findings: row.findings }
}

export async function listChecks(db: Database, filter: CheckFilter = {}): Promise<Check[]> {
  const { rows } = await db.query<CheckRow & Record<string, unknown>>(
    `select ${COLUMNS} from varve.checks
      where ($1::text is null or scope = $1) and ($2::text is null or state = $2) and ($3::boolean is null or periodic = $3)
      order by created_at desc, id limit $4`,
    [filter.scope ?? null, filter.state ?? null, filter.periodic ?? null, filter.limit ?? CHECKS_LISTED],
  )
  return rows.map(toCheck)
}

export async function takeCheck(db: Database, worker: string): Promise<Check | null> {
  const { rows } = await db.query<CheckRow & Record<string, unknown>>(
    `update varve.checks set state = 'running', worker = $1, touched_at = now()
      where id = (select id from varve.checks
                   where state = 'queued' or (state = 'running' and (worker = $1 or touched_at < now() - make_interval(secs => $2)))
                   order by worker is not distinct from $1 desc, created_at limit 1 for update skip locked)
      returning ${COLUMNS}`,
    [worker, CHECK_SILENCE_S],
  )
  return rows[0] === undefined ? null : toCheck(rows[0])
}

export async function progressCheck(db: Database, id: string, worker: string, progress: CheckProgress): Promise<void> {
  await db.transaction(async sql => {
    await expectHeld(sql, id, worker)
    await sql.query(`update varve.checks set progress = $2, touched_at = now() where id = $1`, [id, JSON.stringify(progress)])
  })
}

export async function endCheck(db: Database, id: string, worker: string, end: CheckEnd): Promise<void> {
  await db.transaction(async sql => {
    if ((await expectHeld(sql, id, worker, { ended: true })) !== 'running') return
    if ('error' in end) {
      await sql.query(
        `update varve.checks set state = 'failed', ended_at = now(), touched_at = now(), reason = $2, message = $3 where id = $1`,
        [id, end.error.code, end.error.message],
      )
      return
    }
    await sql.query(
      `update varve.checks set state = 'done', ended_at = now(), touched_at = now(), findings = $2, summary = $3 where id = $1`,
      [id, JSON.stringify(end.findings), JSON.stringify(end.summary)],
    )
  })
}

/** Locks the check. @param ended may it have ended by this very worker? */
async function expectHeld(sql: Sql, id: string, worker: string, { ended = false } = {}): Promise<CheckState> {
  const { rows } = await sql.query<{ state: CheckState; worker: string | null }>(
    `select state, worker from varve.checks where id = $1 for update`,
    [id],
  )
  const check = rows[0]
  if (check === undefined) throw noCheck(id)
  if (check.worker === worker && (ended || check.state === 'running')) return check.state
  throw new CatalogError('CONFLICT', `check ${id} is not this worker's any more`, { checkId: id, state: check.state })
}

function noCheck(id: string): CatalogError {
  return new CatalogError('NOT_FOUND', `there is no check ${id}`, { checkId: id })
}
