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
  stored: number
}

interface PointImageRow {
  restore_point_id: string
  image_id: string
  disk_id: string
  disk_size: number
  block_size: number
  kind: PointImage['kind']
  reason: PointImage['reason']
  read: number
  stored: number
  cbt: boolean
  root_key: string
}

async function selectPoints(sql: Sql, where: string, values: readonly unknown[]): Promise<RestorePoint[]> {
  const { rows } = await sql.query<PointRow>(
    `select p.*, v.name as vm_name from varve.restore_points p join varve.vms v on v.id = p.vm_id where ${where}`,
    values,
  )
  const images = new Map<string, PointImage[]>(rows.map(r => [r.id, []]))
  // By run, which has its images side by side; by their own ids each would be looked up for itself.
  const ids = [rows.map(r => r.id), rows.map(r => r.run_id)]
  for (const image of await selectPointImages(sql, 'p.restore_point_id = any ($1) and i.run_id = any ($2)', ids)) {
    images.get(image.restore_point_id)?.push(toPointImage(image))
  }
  return rows.map(row => ({
    id: row.id,
    vmId: row.vm_id,
    vmName: row.vm_name,
    runId: row.run_id,
    createdAt: row.created_at,
    checkpointId: row.checkpoint_id,
    parentId: row.parent_id,
    chainId: row.chain_id,
    images: images.get(row.id) ?? [],
    stored: row.stored,
  }))
}

async function selectPointImages(sql: Sql, where: string, values: readonly unknown[]): Promise<PointImageRow[]> {
  const { rows } = await sql.query<PointImageRow>(
    `select p.restore_point_id, p.image_id, p.root_key, p.cbt, i.disk_id, i.disk_size, i.block_size, i.kind, i.reason, i.read, i.written as stored
       from varve.restore_point_images p join varve.images i on i.id = p.image_id
      where ${where} order by p.restore_point_id, i.position`,
    values,
  )
  return rows
}

function toPointImage(row: PointImageRow): PointImage {
  return {
    imageId: row.image_id,
    diskId: row.disk_id,
    diskSize: row.disk_size,
    blockSize: row.block_size,
    kind: row.kind,
    reason: row.reason,
    read: row.read,
    stored: row.stored,
    cbt: row.cbt,
  }
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
  const [row] = await selectPointImages(db, 'p.image_id = $1', [imageId])
  if (row === undefined) throw new CatalogError('NOT_FOUND', `there is no sealed image ${imageId}`, { imageId })
  return {
    rootKey: row.root_key,
    diskSize: row.disk_size,
    blockSize: row.block_size,
    image: toPointImage(row),
    restorePointId: row.restore_point_id,
  }
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
