import type { Outcome, RunKind, RunState } from '@varve/catalog-client'
import type { Sql } from '../database.ts'
import type { AttemptModel, ImageModel, Model, RunModel } from './run-model.ts'

export interface SeenRange {
  readonly id: string
  readonly run: string
  readonly image: string
  readonly index: number
  readonly state: 'planned' | 'queued' | 'done'
}

/** What the rows of some VMs say, in the words of the model; and every range as it is. */
export async function readRows(
  sql: Sql,
  vms: readonly string[],
): Promise<{ model: Model; ranges: readonly SeenRange[]; released: ReadonlySet<string> }> {
  const runs = await sql.query<{
    id: string
    kind: RunKind
    vm_id: string
    exclusive: boolean
    state: RunState
    outcome: Outcome | null
    cancel_requested: boolean
    paused: boolean
    released_at: string | null
    planned: boolean
    snapshot_name: string | null
    snapshot_id: string | null
    lease_id: string | null
    checkpoint_id: string | null
    key: string
    request: string
  }>(
    `select r.*, r.kind = 'backup' or r.options ->> 'target' = 'original' as exclusive, planned_at is not null as planned, k.key,
            coalesce(k.request ->> 'vmId', concat_ws(' ', k.request ->> 'restorePointId', k.request #>> '{options,target}')) as request
       from varve.runs r join varve.idempotency_keys k on k.run_id = r.id where vm_id = any ($1)`,
    [vms],
  )
  const images = await sql.query<{ id: string; run_id: string; disk_id: string; parent_image_id: string | null }>(
    `select i.id, i.run_id, i.disk_id, i.parent_image_id from varve.images i join varve.runs r on r.id = i.run_id where r.vm_id = any ($1)`,
    [vms],
  )
  const ranges = await sql.query<SeenRange & { bytes: number; read: number | null }>(
    `select g.id, g.run_id as run, g.image_id as image, g.index, g.state, g.bytes, g.read
       from varve.ranges g join varve.runs r on r.id = g.run_id where r.vm_id = any ($1) order by g.index, g.image_id`,
    [vms],
  )
  const points = await sql.query<{ id: string; run_id: string }>(`select id, run_id from varve.restore_points where vm_id = any ($1)`, [
    vms,
  ])

  const attempts = await sql.query<AttemptModel & { id: string }>(
    `select a.id, a.run_id as run, g.image_id as image, g.index, a.worker, a.outcome
       from varve.attempts a join varve.ranges g on g.id = a.range_id join varve.runs r on r.id = a.run_id where r.vm_id = any ($1)`,
    [vms],
  )

  const imageModels = new Map<string, Record<string, ImageModel>>()
  for (const { id, run_id, disk_id, parent_image_id: parent } of images.rows) {
    const own = ranges.rows.filter(range => range.image === id)
    // A report reads as many bytes as its number.
    const entries = own.map(({ index, bytes, state, read }) => [index, { bytes, report: state === 'done' ? read : null }] as const)
    imageModels.set(run_id, { ...imageModels.get(run_id), [disk_id]: { id, parent, ranges: Object.fromEntries(entries) } })
  }
  const runModels = runs.rows.map((r): readonly [string, RunModel] => [
    r.id,
    {
      kind: r.kind,
      vm: r.vm_id,
      exclusive: r.exclusive,
      state: r.state,
      outcome: r.outcome,
      cancel: r.cancel_requested,
      paused: r.paused,
      planned: r.planned,
      snapshotName: r.snapshot_name,
      snapshotId: r.snapshot_id,
      leaseId: r.lease_id,
      checkpoint: r.checkpoint_id,
      images: imageModels.get(r.id) ?? {},
    },
  ])
  return {
    model: {
      runs: Object.fromEntries(runModels),
      keys: Object.fromEntries(runs.rows.map(r => [r.key, { run: r.id, request: r.request }])),
      points: Object.fromEntries(points.rows.map(p => [p.id, p.run_id])),
      attempts: Object.fromEntries(attempts.rows.map(({ id, ...attempt }) => [id, attempt])),
    },
    released: new Set(runs.rows.filter(r => r.released_at !== null).map(r => r.id)),
    ranges: ranges.rows.map(({ id, run, image, index, state }) => ({ id, run, image, index, state })),
  }
}
