import { CatalogError, type PageRequest, type ParentPoint, type PointImage, type RestorePoint } from '@varve/catalog-client'
import type { Database, Sql } from './database.ts'
import { pageLimit, placeInTime } from './page.ts'

export const POINTS_LISTED = 200
export const POINTS_LISTED_MAX = 1000

interface PointRow {
  id: string
  vm_id: string
  vm_name: string
  run_id: string
  created_at: string
  checkpoint_id: string
  parent_id: string | null
  chain_id: string
  images: PointImage[]
  stored: number
}

async function selectPoints(sql: Sql, where: string, values: readonly unknown[]): Promise<RestorePoint[]> {
  const { rows } = await sql.query<PointRow>(
    `select p.*, v.name as vm_name from varve.restore_points p join varve.vms v on v.id = p.vm_id where ${where}`,
    values,
  )
  return rows.map(row => ({
    id: row.id,
    vmId: row.vm_id,
    vmName: row.vm_name,
    runId: row.run_id,
    createdAt: row.created_at,
    checkpointId: row.checkpoint_id,
    parentId: row.parent_id,
    chainId: row.chain_id,
    images: row.images,
    stored: row.stored,
  }))
}

/** Newest first, a page of them. The conditions are written out, so that each has a plan of its own. */
export async function listPoints(db: Database, vmId?: string, page: PageRequest = {}): Promise<RestorePoint[]> {
  const values: unknown[] = [pageLimit(page.limit, POINTS_LISTED, POINTS_LISTED_MAX)]
  const where = ['true']
  if (vmId !== undefined) where.push(`p.vm_id = $${values.push(vmId)}`)
  if (page.after !== undefined) {
    const [time, id] = placeInTime(page.after)
    where.push(`(p.created_at, p.id) < ($${values.push(time)}, $${values.push(id)})`)
  }
  return selectPoints(db, `${where.join(' and ')} order by p.created_at desc, p.id desc limit $1`, values)
}

export async function getPoint(db: Database, id: string): Promise<RestorePoint> {
  const [point] = await selectPoints(db, 'p.id = $1', [id])
  if (point === undefined) throw noPoint(id)
  return point
}

/** The newest sealed point of a VM. */
export async function parentPoint(db: Database, vmId: string): Promise<ParentPoint | null> {
  const [point] = await selectPoints(db, 'p.vm_id = $1 order by p.sealed_at desc limit 1', [vmId])
  if (point === undefined) {
    const vm = await db.query(`select 1 from varve.vms where id = $1`, [vmId])
    if (vm.rowCount === 0) throw new CatalogError('NOT_FOUND', `there is no VM ${vmId}`, { vmId })
    return null
  }
  return {
    restorePointId: point.id,
    checkpointId: point.checkpointId,
    images: point.images.map(({ imageId, diskId, diskSize, blockSize, cbt }) => ({ imageId, diskId, diskSize, blockSize, cbt })),
  }
}

export async function getPointConfig(
  db: Database,
  id: string,
): Promise<{ config: Readonly<Record<string, unknown>>; platformId: string; platformVmId: string; checkpointId: string }> {
  const { rows } = await db.query<{
    config: Record<string, unknown> | null
    platform_id: string
    platform_vm_id: string
    checkpoint_id: string
  }>(
    `select c.config, r.platform_id, v.platform_vm_id, p.checkpoint_id
       from varve.restore_points p join varve.runs r on r.id = p.run_id join varve.vms v on v.id = p.vm_id
       left join varve.vm_configs c on c.hash = r.config_hash where p.id = $1`,
    [id],
  )
  const row = rows[0]
  if (row === undefined) throw noPoint(id)
  return { config: row.config ?? {}, platformId: row.platform_id, platformVmId: row.platform_vm_id, checkpointId: row.checkpoint_id }
}

/** Of a sealed image: others have no root. */
export async function getImageRoot(
  db: Database,
  imageId: string,
): Promise<{ rootKey: string; diskSize: number; blockSize: number; image: PointImage; restorePointId: string }> {
  const { rows } = await db.query<{ restore_point_id: string; root_key: string; images: PointImage[] }>(
    `select s.restore_point_id, s.root_key, p.images
       from varve.restore_point_images s join varve.restore_points p on p.id = s.restore_point_id where s.image_id = $1`,
    [imageId],
  )
  const image = rows[0]?.images.find(i => i.imageId === imageId)
  if (rows[0] === undefined || image === undefined) throw new CatalogError('NOT_FOUND', `there is no sealed image ${imageId}`, { imageId })
  const { diskSize, blockSize } = image
  return { rootKey: rows[0].root_key, diskSize, blockSize, image, restorePointId: rows[0].restore_point_id }
}

/** Leases of runs that have not ended, for renewal. */
export async function activeLeases(
  db: Database,
): Promise<readonly { readonly runId: string; readonly platformId: string; readonly leaseId: string }[]> {
  const { rows } = await db.query<{ runId: string; platformId: string; leaseId: string }>(
    `select id as "runId", platform_id as "platformId", lease_id as "leaseId" from varve.runs where ended_at is null and lease_id is not null`,
  )
  return rows
}

function noPoint(id: string): CatalogError {
  return new CatalogError('NOT_FOUND', `there is no restore point ${id}`, { restorePointId: id })
}
