import {
  type BackupOptions,
  CatalogError,
  type PageRequest,
  type PreviewOptions,
  type RestoreOptions,
  type Run,
  type RunForWork,
  type RunKind,
} from '@varve/catalog-client'
import { brokenConstraint, type Database, type Sql } from './database.ts'
import { CANCELLED, endRun } from './endings.ts'
import { isOver, lockRun } from './locked-run.ts'
import { pageLimit, placeInTime } from './page.ts'
import { publicRun, selectRun, selectRuns } from './run-row.ts'

export const RUNS_LISTED = 50
export const RUNS_LISTED_MAX = 500

export async function createBackup(db: Database, vmId: string, options: BackupOptions, idempotencyKey?: string): Promise<Run> {
  return createOnce(db, 'backup', { vmId, options }, idempotencyKey, async sql => {
    return insertRun(sql, 'backup', vmId, await platformOfVm(sql, vmId), options, null)
  })
}

export async function createRestore(db: Database, restorePointId: string, options: RestoreOptions, idempotencyKey?: string): Promise<Run> {
  return createOnce(db, 'restore', { restorePointId, options }, idempotencyKey, async sql => {
    const point = await vmOfPoint(sql, restorePointId)
    return insertRun(sql, 'restore', point.vm_id, point.platform_id, options, restorePointId)
  })
}

/** Somebody waits for it, and it holds its VM's place for seconds only: before others, unless said otherwise. */
const PREVIEW = { priority: 'high' } as const

export async function createBackupPreview(db: Database, vmId: string, options: BackupOptions, idempotencyKey?: string): Promise<Run> {
  return createOnce(db, 'preview', { vmId, options }, idempotencyKey, async sql =>
    insertRun(sql, 'preview', vmId, await platformOfVm(sql, vmId), { ...PREVIEW, ...options, of: 'backup' }, null),
  )
}

export async function createRestorePreview(
  db: Database,
  restorePointId: string,
  options: RestoreOptions,
  idempotencyKey?: string,
): Promise<Run> {
  return createOnce(db, 'preview', { restorePointId, options }, idempotencyKey, async sql => {
    const point = await vmOfPoint(sql, restorePointId)
    return insertRun(sql, 'preview', point.vm_id, point.platform_id, { ...PREVIEW, ...options, of: 'restore' }, restorePointId)
  })
}

async function platformOfVm(sql: Sql, vmId: string): Promise<string> {
  const { rows } = await sql.query<{ platform_id: string; gone: boolean }>(`select platform_id, gone from varve.vms where id = $1`, [vmId])
  const vm = rows[0]
  if (vm === undefined) throw new CatalogError('NOT_FOUND', `there is no VM ${vmId}`, { vmId })
  if (vm.gone) throw new CatalogError('CONFLICT', 'the platform no longer lists this VM', { vmId, state: 'gone' })
  return vm.platform_id
}

async function vmOfPoint(sql: Sql, restorePointId: string): Promise<{ vm_id: string; platform_id: string }> {
  const { rows } = await sql.query<{ vm_id: string; platform_id: string }>(
    `select p.vm_id, v.platform_id from varve.restore_points p join varve.vms v on v.id = p.vm_id where p.id = $1`,
    [restorePointId],
  )
  if (rows[0] === undefined) throw new CatalogError('NOT_FOUND', `there is no restore point ${restorePointId}`, { restorePointId })
  return rows[0]
}

/** A run and its idempotency key in one transaction. Its first job follows when there is room for it: dispatch/. */
async function createOnce(
  db: Database,
  kind: RunKind,
  request: object,
  key: string | undefined,
  insert: (sql: Sql) => Promise<string>,
): Promise<Run> {
  return db.transaction(async sql => {
    if (key !== undefined) {
      // Two requests with one key at the same time: the second waits here and then finds the first's row.
      await sql.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`varve ${kind} ${key}`])
      const { rows } = await sql.query<{ run_id: string; same: boolean }>(
        `select run_id, request = $3::jsonb as same from varve.idempotency_keys where kind = $1 and key = $2`,
        [kind, key, JSON.stringify(request)],
      )
      const earlier = rows[0]
      if (earlier?.same === false) {
        throw new CatalogError('CONFLICT', 'this idempotency key was used for another request', { runId: earlier.run_id })
      }
      if (earlier !== undefined) return publicRun(await selectRun(sql, earlier.run_id))
    }
    const id = await insert(sql)
    if (key !== undefined) {
      await sql.query(`insert into varve.idempotency_keys (kind, key, request, run_id) values ($1, $2, $3, $4)`, [
        kind,
        key,
        JSON.stringify(request),
        id,
      ])
    }
    return publicRun(await selectRun(sql, id))
  })
}

async function insertRun(
  sql: Sql,
  kind: RunKind,
  vmId: string,
  platformId: string,
  options: BackupOptions | RestoreOptions | PreviewOptions,
  sourcePointId: string | null,
): Promise<string> {
  try {
    const { rows } = await sql.query<{ id: string }>(
      `insert into varve.runs (kind, vm_id, platform_id, options, source_point_id, priority) values ($1, $2, $3, $4, $5, $6) returning id`,
      [kind, vmId, platformId, JSON.stringify(options), sourcePointId, options.priority ?? 'normal'],
    )
    return rows[0]!.id
  } catch (error) {
    if (brokenConstraint(error) !== 'runs_one_active_per_vm') throw error
    throw new CatalogError('CONFLICT', 'the VM has a run under way', { vmId, state: 'busy' }, { cause: error })
  }
}

export interface RunFilter extends PageRequest {
  readonly vmId?: string
  readonly kind?: RunKind
  readonly active?: boolean
}

const KIND_IS: Readonly<Record<RunKind, string>> = {
  backup: `r.kind = 'backup'`,
  restore: `r.kind = 'restore'`,
  preview: `r.kind = 'preview'`,
}

/** Newest first, a page of them. The conditions are written out, so that each has a plan of its own. */
export async function listRuns(db: Database, filter: RunFilter = {}): Promise<Run[]> {
  const values: unknown[] = [pageLimit(filter.limit, RUNS_LISTED, RUNS_LISTED_MAX)]
  const where = ['true']
  if (filter.vmId !== undefined) where.push(`r.vm_id = $${values.push(filter.vmId)}`)
  if (filter.kind !== undefined) where.push(KIND_IS[filter.kind])
  if (filter.active !== undefined) where.push(`r.ended_at is ${filter.active ? '' : 'not '}null`)
  if (filter.after !== undefined) {
    const [time, id] = placeInTime(filter.after)
    where.push(`(r.created_at, r.id) < ($${values.push(time)}, $${values.push(id)})`)
  }
  const runs = await selectRuns(db, `${where.join(' and ')} order by r.created_at desc, r.id desc limit $1`, values)
  return runs.map(publicRun)
}

export async function getRun(db: Database, id: string): Promise<Run> {
  return publicRun(await selectRun(db, id))
}

export async function getRunForWork(db: Database, id: string): Promise<RunForWork> {
  return selectRun(db, id)
}

/**
 * Queued and copying runs can end at once: nobody creates anything in those states, and reports of late workers are refused. Preparing and
 * sealing ones finish their step first: a snapshot that is being created must not escape the clean-up.
 */
export async function cancelRun(db: Database, id: string): Promise<Run> {
  return db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (!isOver(run.state)) {
      await sql.query(`update varve.runs set cancel_requested = true where id = $1 and not cancel_requested`, [id])
      if (run.state === 'queued' || run.state === 'copying') await endRun(sql, id, CANCELLED)
    }
    return publicRun(await selectRun(sql, id))
  })
}
