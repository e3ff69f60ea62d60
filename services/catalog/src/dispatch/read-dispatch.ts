import type { JobPriority } from '@varve/queue'
import type { Sql } from '../database.ts'
import { limitsOf, underPressure } from '../limits.ts'
import { pressureAt, type StoredPressure } from '../pressure.ts'
import type { DispatchInput, DispatchLimits, ImageUnderWay, RunUnderWay, WaitingRun } from './dispatch-plan.ts'
import { Usage } from './usage.ts'

/** Runs of one platform and priority that are looked at in one pass: more than can be given out at once. */
const LOOKED_AT = 200

/** What a pass decides by. Costs as much as there are runs under way; runs that wait are looked at only where there is room for them. */
export async function readDispatch(sql: Sql, withWaiting: boolean): Promise<Pick<DispatchInput, 'runs' | 'waiting' | 'limits'>> {
  const limits = await readLimits(sql)
  const runs = await readRunsUnderWay(sql)
  return { limits, runs, waiting: withWaiting ? await readWaiting(sql, limits, Usage.of({ runs })) : [] }
}

async function readLimits(sql: Sql): Promise<ReadonlyMap<string, DispatchLimits>> {
  const { rows } = await sql.query<StoredPressure & { id: string; limits: Partial<DispatchLimits>; now: string }>(
    `select id, limits, pressure, pressure_at, pressure_reason, clock_timestamp() as now from varve.platforms`,
  )
  return new Map(rows.map(row => [row.id, underPressure(limitsOf(row.limits), pressureAt(row, row.now).level)]))
}

interface RunRow extends Record<string, unknown> {
  id: string
  vm_id: string
  platform_id: string
  host_id: string | null
  priority: JobPriority
  created_at: string
  paused: boolean
  disks: Record<string, number> | null
}

interface ImageRow extends Record<string, unknown> {
  id: string
  run_id: string
  datastore_id: string | null
  planned: number
  queued: number
}

/** Disks of a VM that will be read or written, by datastore. */
const DISKS_OF_VM = `(select jsonb_object_agg(d.datastore_id, d.disks) from (
  select datastore_id, count(*) as disks from varve.disks where vm_id = r.vm_id and excluded is null and datastore_id is not null group by 1) d)`

async function readRunsUnderWay(sql: Sql): Promise<readonly RunUnderWay[]> {
  const { rows } = await sql.query<RunRow>(
    `select r.id, r.vm_id, r.platform_id, r.host_id, r.priority, r.created_at, r.paused,
            case when r.state in ('queued', 'preparing') then ${DISKS_OF_VM} end as disks
       from varve.runs r where r.released_at is not null and r.ended_at is null`,
  )
  const images = await sql.query<ImageRow>(
    `select i.id, i.run_id, i.datastore_id, i.ranges_total - i.ranges_done - i.ranges_queued as planned, i.ranges_queued as queued
       from varve.runs r join varve.images i on i.run_id = r.id
      where r.released_at is not null and r.ended_at is null and r.state = 'copying' and i.ranges_done < i.ranges_total
      order by i.run_id, i.position`,
  )
  const ofRun = new Map<string, ImageUnderWay[]>()
  for (const { run_id, id, datastore_id, planned, queued } of images.rows) {
    const list = ofRun.get(run_id) ?? []
    list.push({ id, datastoreId: datastore_id, planned, queued })
    ofRun.set(run_id, list)
  }
  return rows.map(row => ({ ...placed(row), paused: row.paused, images: ofRun.get(row.id) ?? [] }))
}

async function readWaiting(sql: Sql, limits: DispatchInput['limits'], usage: Usage): Promise<readonly WaitingRun[]> {
  const platforms = [...limits].filter(([id, of]) => usage.roomFor(id, of) > 0).map(([id]) => id)
  const full = usage.full(limits)
  const { rows } = await sql.query<RunRow>(
    `select w.* from unnest($1::uuid[]) as p (id) cross join unnest(array['high', 'normal', 'low']) as q (priority) cross join lateral (
       select r.id, r.vm_id, r.platform_id, v.host_id, r.priority, r.created_at, false as paused, ${DISKS_OF_VM} as disks
         from varve.runs r join varve.vms v on v.id = r.vm_id
        where r.released_at is null and r.ended_at is null and r.state = 'queued' and not r.paused
          and r.platform_id = p.id and r.priority = q.priority
          and (v.host_id is null or r.platform_id || '/' || v.host_id <> all ($2::text[]))
          and not exists (select 1 from varve.disks d
                           where d.vm_id = r.vm_id and d.excluded is null and r.platform_id || '/' || d.datastore_id = any ($3::text[]))
        order by r.created_at limit $4) w`,
    [platforms, full.hosts, full.datastores, LOOKED_AT],
  )
  return rows.map(placed)
}

function placed({ id, vm_id, platform_id, host_id, priority, created_at, disks }: RunRow): WaitingRun {
  const at = Date.parse(created_at)
  return { id, vmId: vm_id, platformId: platform_id, hostId: host_id, priority, createdAt: at, disks: disks ?? {} }
}
