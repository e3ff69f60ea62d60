import {
  CatalogError,
  type Image,
  type Outcome,
  type Priority,
  type RangeTime,
  type Run,
  type RunForWork,
  type RunKind,
  type RunState,
  type RunTotals,
} from '@varve/catalog-client'
import { bottleneckOf } from './bottleneck.ts'
import type { Sql } from './database.ts'

interface RunRow {
  id: string
  kind: RunKind
  vm_id: string
  vm_name: string
  platform_vm_id: string
  platform_id: string
  state: RunState
  paused: boolean
  priority: Priority
  outcome: Outcome | null
  reason: string | null
  message: string | null
  options: Run['options']
  notes: string[]
  cancel_requested: boolean
  source_point_id: string | null
  sealed_point_id: string | null
  target_platform_vm_id: string | null
  snapshot_name: string | null
  snapshot_id: string | null
  lease_id: string | null
  lease_token: string | null
  created_vm_id: string | null
  checkpoint_id: string | null
  config: Record<string, unknown> | null
  created_at: string
  started_at: string | null
  planned_at: string | null
  copied_at: string | null
  prediction: Run['prediction']
  prices: Run['prices']
  ended_at: string | null
}

interface ImageRow extends RunTotals {
  id: string
  run_id: string
  disk_id: string
  disk_size: number
  block_size: number
  kind: Image['kind']
  reason: Image['reason']
  parent_image_id: string | null
  since: string | null
  ranges_total: number
  ranges_done: number
  objects: number
  time_source_ms: number
  time_throttle_ms: number
  time_cpu_ms: number
  time_store_ms: number
}

/**
 * Runs as services see them: rows, their images, totals with what ranges under way have got to. `where` is SQL about `r`. Without the VM's configuration,
 * which is large and which nobody needs of many, unless `config` is SQL about `c`.
 */
export async function selectRuns(sql: Sql, where: string, values: readonly unknown[], config = 'null'): Promise<RunForWork[]> {
  const { rows } = await sql.query<RunRow>(
    `select r.*, v.name as vm_name, v.platform_vm_id, p.id as sealed_point_id, ${config} as config, (select prices from varve.prices) as prices
       from varve.runs r join varve.vms v on v.id = r.vm_id left join varve.restore_points p on p.run_id = r.id
       left join varve.vm_configs c on c.hash = r.config_hash
      where ${where}`,
    values,
  )
  const images = await selectImages(
    sql,
    rows.map(r => r.id),
  )
  return rows.map(row => toRun(row, images.get(row.id) ?? []))
}

export async function selectRun(sql: Sql, id: string): Promise<RunForWork> {
  const [run] = await selectRuns(sql, 'r.id = $1', [id], 'c.config')
  if (run === undefined) throw new CatalogError('NOT_FOUND', `there is no run ${id}`, { runId: id })
  return run
}

async function selectImages(sql: Sql, runIds: readonly string[]): Promise<Map<string, ImageRow[]>> {
  const byRun = new Map<string, ImageRow[]>()
  if (runIds.length === 0) return byRun
  const { rows } = await sql.query<ImageRow>(
    `select i.*, i.read + coalesce(q.read, 0) as read, i.written + coalesce(q.written, 0) as written
       from varve.images i
       left join (select image_id, sum(progress_read)::bigint as read, sum(progress_written)::bigint as written
                    from varve.ranges where state = 'queued' and run_id = any ($1) group by image_id) q on q.image_id = i.id
      where i.run_id = any ($1) order by i.run_id, i.position`,
    [runIds],
  )
  for (const row of rows) {
    const list = byRun.get(row.run_id)
    if (list === undefined) byRun.set(row.run_id, [row])
    else list.push(row)
  }
  return byRun
}

export async function imagesOfRun(sql: Sql, runId: string): Promise<Image[]> {
  return (await selectImages(sql, [runId])).get(runId)?.map(toImage) ?? []
}

function toImage(row: ImageRow): Image {
  return {
    id: row.id,
    runId: row.run_id,
    diskId: row.disk_id,
    diskSize: row.disk_size,
    blockSize: row.block_size,
    kind: row.kind,
    reason: row.reason,
    parentImageId: row.parent_image_id,
    since: row.since,
    totals: {
      planned: row.planned,
      read: row.read,
      written: row.written,
      unchanged: row.unchanged,
      zero: row.zero,
      rangesTotal: row.ranges_total,
      rangesDone: row.ranges_done,
    },
  }
}

function toRun(row: RunRow, imageRows: readonly ImageRow[]): RunForWork {
  const images = imageRows.map(toImage)
  return {
    id: row.id,
    kind: row.kind,
    vmId: row.vm_id,
    vmName: row.vm_name,
    platformId: row.platform_id,
    state: row.state,
    paused: row.paused,
    priority: row.priority,
    outcome: row.outcome,
    reason: row.reason,
    message: row.message,
    options: row.options,
    totals: sumTotals(images.map(i => i.totals)),
    bottleneck: bottleneckOf(sumTimes(imageRows)),
    createdAt: row.created_at,
    startedAt: row.started_at,
    plannedAt: row.planned_at,
    copiedAt: row.copied_at,
    endedAt: row.ended_at,
    restorePointId: row.source_point_id ?? row.sealed_point_id,
    targetPlatformVmId: row.target_platform_vm_id,
    images,
    objects: imageRows.reduce((sum, { objects }) => sum + objects, 0),
    prediction: row.prediction,
    prices: row.prices,
    notes: row.notes,
    platformVmId: row.platform_vm_id,
    resources: {
      snapshotName: row.snapshot_name,
      snapshotId: row.snapshot_id,
      leaseId: row.lease_id,
      leaseToken: row.lease_token,
      createdVmId: row.created_vm_id,
    },
    checkpointId: row.checkpoint_id,
    config: row.config,
    cancelRequested: row.cancel_requested,
  }
}

function sumTotals(list: readonly RunTotals[]): RunTotals {
  const sum = (of: (totals: RunTotals) => number): number => list.reduce((all, totals) => all + of(totals), 0)
  return {
    planned: sum(t => t.planned),
    read: sum(t => t.read),
    written: sum(t => t.written),
    unchanged: sum(t => t.unchanged),
    zero: sum(t => t.zero),
    rangesTotal: sum(t => t.rangesTotal),
    rangesDone: sum(t => t.rangesDone),
  }
}

function sumTimes(images: readonly ImageRow[]): Record<RangeTime, number> {
  const sum = (of: (image: ImageRow) => number): number => images.reduce((all, image) => all + of(image), 0)
  return {
    source: sum(i => i.time_source_ms),
    throttle: sum(i => i.time_throttle_ms),
    cpu: sum(i => i.time_cpu_ms),
    store: sum(i => i.time_store_ms),
  }
}

/** The public face: without resources, configuration and flags. */
export function publicRun(run: RunForWork): Run {
  const { platformVmId: _1, resources: _2, checkpointId: _3, config: _4, cancelRequested: _5, ...rest } = run
  return rest
}
