import { CatalogError, type PageRequest, type SeenVm, type Vm } from '@varve/catalog-client'
import type { Database, Sql } from './database.ts'
import { pageLimit, placeByName } from './page.ts'

export const VMS_LISTED = 500
export const VMS_LISTED_MAX = 1000

/** Replace what is known of a platform's VMs. Those no longer listed are marked gone; their points remain. */
export async function reportVms(db: Database, platformId: string, vms: readonly SeenVm[]): Promise<void> {
  const distinct = new Map(vms.map(vm => [vm.platformVmId, vm]))
  if (distinct.size !== vms.length) throw new CatalogError('BAD_REQUEST', 'a VM is listed twice')
  await db.transaction(async sql => {
    // Locked, so that two reports of one platform do not mix.
    const found = await sql.query(`select 1 from varve.platforms where id = $1 for no key update`, [platformId])
    if (found.rowCount === 0) throw new CatalogError('NOT_FOUND', `there is no platform ${platformId}`, { platformId })
    await sql.query(UPSERT_VMS, [platformId, JSON.stringify(vms)])
    await sql.query(`delete from varve.disks d using varve.vms v where v.id = d.vm_id and v.platform_id = $1 and not v.gone`, [platformId])
    await sql.query(INSERT_DISKS, [platformId, JSON.stringify(vms)])
  })
}

const UPSERT_VMS = `
  with seen as (
    select s.* from jsonb_to_recordset($2::jsonb) as s ("platformVmId" text, name text, power text, exclusions jsonb, "hostId" text)),
  lost as (
    update varve.vms set gone = true
     where platform_id = $1 and not gone and platform_vm_id not in (select "platformVmId" from seen))
  insert into varve.vms (platform_id, platform_vm_id, name, power, exclusions, host_id)
  select $1, "platformVmId", name, power, array(select jsonb_array_elements_text(exclusions)), "hostId" from seen
  on conflict (platform_id, platform_vm_id) do update
     set name = excluded.name, power = excluded.power, exclusions = excluded.exclusions, host_id = excluded.host_id, gone = false,
         seen_at = now()`

const INSERT_DISKS = `
  insert into varve.disks (vm_id, disk_id, position, size, excluded, datastore_id)
  select v.id, d.disk ->> 'diskId', d.position, (d.disk ->> 'size')::bigint, d.disk ->> 'excluded', d.disk ->> 'datastoreId'
    from jsonb_to_recordset($2::jsonb) as s ("platformVmId" text, disks jsonb)
    join varve.vms v on v.platform_id = $1 and v.platform_vm_id = s."platformVmId"
    cross join lateral jsonb_array_elements(s.disks) with ordinality as d (disk, position)
  on conflict (vm_id, disk_id) do nothing`

interface VmRow {
  id: string
  platform_id: string
  platform_vm_id: string
  name: string
  power: string
  exclusions: string[]
  seen_at: string
  disks: { diskId: string; size: number; excluded: string | null }[] | null
  last_point_id: string | null
  last_point_at: string | null
  points: number
  gone: boolean
}

async function selectVms(sql: Sql, where: string, values: readonly unknown[]): Promise<Vm[]> {
  const { rows } = await sql.query<VmRow>(
    `select v.*, d.disks
       from varve.vms v
       left join lateral (select jsonb_agg(jsonb_build_object('diskId', disk_id, 'size', size, 'excluded', excluded) order by position) as disks
                            from varve.disks where vm_id = v.id) d on true
      where ${where}`,
    values,
  )
  return rows.map(row => ({
    id: row.id,
    platformId: row.platform_id,
    platformVmId: row.platform_vm_id,
    name: row.name,
    power: row.power,
    exclusions: row.exclusions,
    disks: (row.disks ?? []).map(({ diskId, size, excluded }) => (excluded === null ? { diskId, size } : { diskId, size, excluded })),
    seenAt: row.seen_at,
    lastPoint: row.last_point_id === null || row.last_point_at === null ? null : { id: row.last_point_id, createdAt: row.last_point_at },
    points: row.points,
    gone: row.gone,
  }))
}

/** VMs on their platforms, and those gone from them that still have points; by name, a page of them. */
export async function listVms(db: Database, page: PageRequest = {}): Promise<Vm[]> {
  const values: unknown[] = [pageLimit(page.limit, VMS_LISTED, VMS_LISTED_MAX)]
  const where = ['(not v.gone or v.points > 0)']
  if (page.after !== undefined) {
    const [name, id] = placeByName(page.after)
    where.push(`(v.name, v.id) > ($${values.push(name)}, $${values.push(id)})`)
  }
  return selectVms(db, `${where.join(' and ')} order by v.name, v.id limit $1`, values)
}

export async function getVm(db: Database, id: string): Promise<Vm> {
  const [vm] = await selectVms(db, 'v.id = $1', [id])
  if (vm === undefined) throw new CatalogError('NOT_FOUND', `there is no VM ${id}`, { vmId: id })
  return vm
}
