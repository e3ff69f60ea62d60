import {
  CatalogError,
  type CompactedAttempts,
  type FactsPage,
  type LiveRunFacts,
  type PointFacts,
  type PointImageFacts,
  type RunFacts,
} from '@varve/catalog-client'
import type { Database } from './database.ts'

/** What a check compares with platforms and repository, in parts. */

const POINTS_PER_PAGE = 100
const RUNS_PER_PAGE = 500

interface PointRow extends Omit<PointFacts, 'images'> {
  cursor: string
}

/**
 * Sealed before the check was made: their packs are durable since before that, so a listing that begins later shows them. The cursor is what the rows
 * are ordered by, as the database writes it: times have microseconds.
 */
export async function pointFacts(db: Database, checkId: string, after: string | null): Promise<FactsPage<PointFacts>> {
  const { rows } = await db.query<PointRow & Record<string, unknown>>(
    `select p.id, p.run_id as "runId", p.vm_id as "vmId", v.name as "vmName", v.platform_id as "platformId", v.platform_vm_id as "platformVmId",
            p.parent_id as "parentId", q.vm_id as "parentVmId", p.created_at as "createdAt", p.checkpoint_id as "checkpointId",
            p.manifest_key as "manifestKey", c.config, r.kind as "runKind", r.outcome as "runOutcome",
            (select count(*) from varve.images where run_id = p.run_id) as "imagesOfRun",
            concat_ws('|', p.vm_id::text, p.sealed_at::text, p.id::text) as cursor
       from varve.restore_points p join varve.runs r on r.id = p.run_id join varve.vms v on v.id = p.vm_id
       left join varve.vm_configs c on c.hash = r.config_hash
       left join varve.restore_points q on q.id = p.parent_id
      where p.sealed_at <= (select created_at from varve.checks where id = $1)
        and ($2::uuid is null or (p.vm_id, p.sealed_at, p.id) > ($2, $3::timestamptz, $4::uuid))
      order by p.vm_id, p.sealed_at, p.id limit ${POINTS_PER_PAGE}`,
    [checkId, ...parts(after, 3)],
  )
  if (rows.length === 0) await expectCheck(db, checkId)
  const images = await imagesOf(
    db,
    rows.map(({ id }) => id),
  )
  return {
    items: rows.map(({ cursor: _, ...point }) => ({ ...point, images: images.get(point.id) ?? [] }) as PointFacts),
    next: rows.length < POINTS_PER_PAGE ? null : (rows.at(-1)?.cursor ?? null),
  }
}

async function expectCheck(db: Database, id: string): Promise<void> {
  const { rowCount } = await db.query(`select 1 from varve.checks where id = $1`, [id])
  if (rowCount === 0) throw new CatalogError('NOT_FOUND', `there is no check ${id}`, { checkId: id })
}

async function imagesOf(db: Database, pointIds: readonly string[]): Promise<Map<string, PointImageFacts[]>> {
  const { rows } = await db.query<{ pointId: string; image: PointImageFacts }>(
    `select p.restore_point_id as "pointId", jsonb_build_object(
              'imageId', i.id, 'diskId', i.disk_id, 'diskSize', i.disk_size, 'blockSize', i.block_size, 'kind', i.kind, 'reason', i.reason,
              'since', i.since, 'cbt', p.cbt, 'rootKey', p.root_key, 'merkleRoot', p.merkle_root, 'read', i.read, 'stored', i.written,
              'parentImageId', i.parent_image_id,
              'parent', case when q.image_id is not null then jsonb_build_object(
                'restorePointId', q.restore_point_id, 'diskId', j.disk_id, 'checkpointId', case when q.cbt then c.checkpoint_id end) end) as image
       from varve.restore_point_images p join varve.images i on i.id = p.image_id
       left join varve.restore_point_images q on q.image_id = i.parent_image_id
       left join varve.images j on j.id = q.image_id
       left join varve.restore_points c on c.id = q.restore_point_id
      where p.restore_point_id = any ($1) order by p.restore_point_id, i.position`,
    [pointIds],
  )
  const byPoint = new Map<string, PointImageFacts[]>()
  for (const { pointId, image } of rows) byPoint.set(pointId, [...(byPoint.get(pointId) ?? []), image])
  return byPoint
}

const RUN_FACTS = `r.id, r.kind, r.state, r.outcome, r.created_at as "createdAt", r.started_at as "startedAt", r.ended_at as "endedAt", r.vm_id as "vmId", r.platform_id as "platformId", v.platform_vm_id as "platformVmId",
  r.target_platform_vm_id as "targetPlatformVmId", r.last_lease_id as "lastLeaseId"`

export async function runFacts(db: Database, ids: readonly string[]): Promise<RunFacts[]> {
  const { rows } = await db.query<RunFacts & Record<string, unknown>>(
    `select ${RUN_FACTS} from varve.runs r join varve.vms v on v.id = r.vm_id where r.id = any ($1::uuid[])`,
    [ids],
  )
  return rows
}

/**
 * A run that copies and has no range in the queue waits for its turn as long as others have some. The last sign of life is that of the run or of a range
 * or try of it, whichever is newest.
 */
export async function liveRunFacts(db: Database, after: string | null): Promise<FactsPage<LiveRunFacts>> {
  const { rows } = await db.query<LiveRunFacts & Record<string, unknown>>(
    `select ${RUN_FACTS}, v.name as "vmName",
            extract(epoch from now() - greatest(r.touched_at,
              (select max(g.touched_at) from varve.ranges g where g.run_id = r.id and g.state = 'queued'),
              (select max(a.touched_at) from varve.attempts a join varve.ranges g on g.id = a.range_id
                where g.run_id = r.id and g.state = 'queued' and a.ended_at is null)))::float8 as "silentSeconds",
            r.paused or (r.state = 'queued' and r.released_at is null)
              or (r.state = 'copying' and not exists (select 1 from varve.ranges g where g.run_id = r.id and g.state = 'queued')
                  and exists (select 1 from varve.ranges g where g.state = 'queued')) as waiting,
            exists (select 1 from varve.outbox o where o.run_id = r.id) as "jobWaits"
       from varve.runs r join varve.vms v on v.id = r.vm_id
      where r.state in ('queued', 'preparing', 'copying', 'sealing', 'finishing') and ($1::uuid is null or r.id > $1)
      order by r.id limit ${RUNS_PER_PAGE}`,
    parts(after, 1),
  )
  return { items: rows, next: rows.length < RUNS_PER_PAGE ? null : (rows.at(-1)?.id ?? null) }
}

export async function endedRunFacts(db: Database, withinSeconds: number, after: string | null): Promise<FactsPage<RunFacts>> {
  const { rows } = await db.query<RunFacts & { cursor: string } & Record<string, unknown>>(
    `select ${RUN_FACTS}, concat_ws('|', r.ended_at::text, r.id::text) as cursor
       from varve.runs r join varve.vms v on v.id = r.vm_id
      where r.ended_at >= now() - make_interval(secs => $1) and ($2::timestamptz is null or (r.ended_at, r.id) > ($2, $3::uuid))
      order by r.ended_at, r.id limit ${RUNS_PER_PAGE}`,
    [withinSeconds, ...parts(after, 2)],
  )
  return {
    items: rows.map(({ cursor: _, ...run }) => run as RunFacts),
    next: rows.length < RUNS_PER_PAGE ? null : (rows.at(-1)?.cursor ?? null),
  }
}

/** Some MB of ids an answer. */
const COMPACTED_PER_PAGE = 1000

/** What is left of the attempts of runs that were compacted: the accepted ones. */
export async function compactedAttempts(db: Database, after: string | null): Promise<FactsPage<CompactedAttempts>> {
  const { rows } = await db.query<CompactedAttempts & Record<string, unknown>>(
    `select c.run_id as "runId", r.outcome in ('failed', 'cancelled') as ended, encode(c.attempt_ids, 'base64') as "attemptIds"
       from varve.run_attempts c join varve.runs r on r.id = c.run_id
      where $1::uuid is null or c.run_id > $1 order by c.run_id limit ${COMPACTED_PER_PAGE}`,
    parts(after, 1),
  )
  return { items: rows, next: rows.length < COMPACTED_PER_PAGE ? null : (rows.at(-1)?.runId ?? null) }
}

/** The values of a cursor; all null at the beginning. */
function parts(cursor: string | null, count: number): (string | null)[] {
  if (cursor === null) return Array.from({ length: count }, () => null)
  const values = cursor.split('|')
  if (values.length !== count) throw new CatalogError('BAD_REQUEST', 'this is not a cursor of this list', {})
  return values
}
