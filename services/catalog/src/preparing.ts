import { CatalogError, type Image, type MadePlan, type NewImage, type RunResources } from '@varve/catalog-client'
import type { Database, Sql } from './database.ts'
import { CANCELLED, endRun } from './endings.ts'
import { expectSnapshot, expectState, isOver, type LockedRun, lockRun, planChanged, stateError } from './locked-run.ts'
import { addStepJob } from './outbox.ts'
import { imagesOfRun } from './run-row.ts'

/** What `prepare-backup` and `prepare-restore` report, up to `planned`. */

export async function startRun(db: Database, id: string): Promise<void> {
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    expectState(run, 'queued', 'preparing')
    // A new VM of a restore is made on the host of the original, while that is there.
    await sql.query(
      `update varve.runs r set state = 'preparing', started_at = coalesce(started_at, now()), released_at = coalesce(released_at, now()), touched_at = now(),
               host_id = coalesce(r.host_id, (select host_id from varve.vms where id = r.vm_id))
         where id = $1`,
      [id],
    )
  })
}

const RESOURCE_COLUMN = {
  snapshotName: 'snapshot_name',
  snapshotId: 'snapshot_id',
  leaseId: 'lease_id',
  leaseToken: 'lease_token',
  createdVmId: 'created_vm_id',
} as const satisfies Record<keyof RunResources, string>

/**
 * While finishing, what a late preparer reports is still written down, so that the clean-up finds it, and answered with RUN_ENDED; clearing what was
 * cleaned is the clean-up's own report.
 */
export async function recordResources(
  db: Database,
  id: string,
  resources: Partial<RunResources>,
  seen: Partial<RunResources> = {},
): Promise<void> {
  const names = Object.keys(RESOURCE_COLUMN) as (keyof RunResources)[]
  const given = names.filter(name => resources[name] !== undefined)
  const late = await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    const before = await sql.query<Record<string, string | null>>(
      `select snapshot_name, snapshot_id, lease_id, lease_token, created_vm_id from varve.runs where id = $1`,
      [id],
    )
    const changed = given.filter(name => before.rows[0]?.[RESOURCE_COLUMN[name]] !== resources[name])
    if (run.state !== 'finishing' && isOver(run.state)) {
      if (changed.length > 0) throw stateError(run)
      return null
    }
    // Or recorded already: the answer was lost, or a twin got the very same lease under the same token.
    const isSeen = (name: keyof RunResources): boolean =>
      seen[name] === undefined || [seen[name], resources[name]].includes(before.rows[0]?.[RESOURCE_COLUMN[name]])
    if (!isOver(run.state) && !names.every(isSeen)) throw planChanged(run, `run ${id} has other resources by now`)
    if (run.planned_at !== null && !isOver(run.state) && changed.includes('snapshotId')) {
      throw planChanged(run, `run ${id} was planned from another snapshot`)
    }
    // While the lease of a restore was away, anybody may have written to its target: what was planned or written under it stands on nothing.
    if (run.kind === 'restore' && run.planned_at !== null && !isOver(run.state) && changed.includes('leaseId')) {
      throw planChanged(run, `run ${id} was planned under another lease`)
    }
    if (given.length > 0) {
      const assignments = given.map((name, i) => `${RESOURCE_COLUMN[name]} = $${i + 2}`)
      if (run.state === 'preparing' && run.snapshot_id !== null && changed.includes('snapshotId')) await deletePlan(sql, id)
      await sql.query(`update varve.runs set ${assignments.join(', ')}, touched_at = now() where id = $1`, [
        id,
        ...given.map(name => resources[name]),
      ])
    }
    return run.state === 'finishing' && changed.some(name => resources[name] !== null) ? stateError(run) : null
  })
  if (late !== null) throw late
}

export async function recordSnapshot(
  db: Database,
  id: string,
  snapshot: {
    readonly checkpointId: string
    readonly config: Readonly<Record<string, unknown>>
    readonly snapshotId?: string | null
  },
): Promise<void> {
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    expectSnapshot(run, snapshot.snapshotId)
    const values = [id, snapshot.checkpointId, JSON.stringify(snapshot.config)]
    if (run.state !== 'preparing') {
      const same = await sql.query(
        `select 1 from varve.runs where id = $1 and checkpoint_id = $2 and config_hash = ${HASH_OF_CONFIG}`,
        values,
      )
      if (same.rowCount === 1 && !isOver(run.state)) return
      throw stateError(run)
    }
    if (run.checkpoint_id !== null && run.checkpoint_id !== snapshot.checkpointId) await deletePlan(sql, id)
    await sql.query(RECORD_SNAPSHOT, values)
  })
}

const HASH_OF_CONFIG = `sha256(convert_to($3::jsonb::text, 'UTF8'))`
/** Configurations are stored once: they hardly ever change between two backups. */
const RECORD_SNAPSHOT = `
  with stored as (
    insert into varve.vm_configs (hash, config) values (${HASH_OF_CONFIG}, $3::jsonb) on conflict (hash) do nothing)
  update varve.runs set checkpoint_id = $2, config_hash = ${HASH_OF_CONFIG}, touched_at = now() where id = $1`

/**
 * Another snapshot than the one that was planned from: what an earlier attempt stored may lack blocks that were written between the two, and would
 * win over the new plan, as ranges are added once. So it goes. Only while preparing: nobody works on a range yet. The run is locked.
 */
async function deletePlan(sql: Sql, id: string): Promise<void> {
  await sql.query(`delete from varve.ranges where run_id = $1`, [id])
  await sql.query(`delete from varve.images where run_id = $1`, [id])
}

/** For a worker whose plan is not the one that is stored in part. One that works with another snapshot has no say. */
export async function dropPlan(db: Database, id: string, snapshotId: string | null): Promise<void> {
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (run.state !== 'preparing' || run.snapshot_id !== snapshotId) return
    await deletePlan(sql, id)
    await sql.query(`update varve.runs set touched_at = now() where id = $1`, [id])
  })
}

/** Once each; in any state that has not ended. */
export async function addNote(db: Database, id: string, note: string): Promise<void> {
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    const { rows } = await sql.query<{ there: boolean; full: boolean }>(
      `select $2 = any (notes) as there, cardinality(notes) >= 200 as full from varve.runs where id = $1`,
      [id, note],
    )
    if (rows[0]?.there === true) return
    expectState(run, 'queued', 'preparing', 'copying', 'sealing', 'finishing')
    // A run with 200 different warnings says nothing more with one more.
    if (rows[0]?.full === true) return
    await sql.query(`update varve.runs set notes = notes || $2::text, touched_at = now() where id = $1`, [id, note])
  })
}

export async function setTarget(db: Database, id: string, targetPlatformVmId: string): Promise<void> {
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (run.kind !== 'restore') throw new CatalogError('CONFLICT', 'only restores have a target', { runId: id, state: run.state })
    if (run.state !== 'preparing') {
      const same = await sql.query(`select 1 from varve.runs where id = $1 and target_platform_vm_id = $2`, [id, targetPlatformVmId])
      if (same.rowCount === 1 && !isOver(run.state)) return
      throw stateError(run)
    }
    await sql.query(`update varve.runs set target_platform_vm_id = $2, touched_at = now() where id = $1`, [id, targetPlatformVmId])
  })
}

/** One image per disk; a disk that has one keeps it, whatever is said now. */
export async function addImages(
  db: Database,
  id: string,
  images: readonly NewImage[],
  snapshotId?: string | null,
): Promise<readonly Image[]> {
  if (new Set(images.map(i => i.diskId)).size !== images.length)
    throw new CatalogError('BAD_REQUEST', 'a disk is named twice', { runId: id })
  return db.transaction(async sql => {
    const run = await lockRun(sql, id)
    if (isOver(run.state)) throw stateError(run)
    expectSnapshot(run, snapshotId)
    const before = new Set((await imagesOfRun(sql, id)).map(i => i.diskId))
    if (run.state !== 'preparing') {
      if (images.some(i => !before.has(i.diskId))) throw stateError(run)
    } else {
      await sql.query(INSERT_IMAGES, [id, JSON.stringify(images.filter(i => !before.has(i.diskId))), before.size])
      await sql.query(`update varve.runs set touched_at = now() where id = $1`, [id])
    }
    const asked = new Map(images.map((image, i) => [image.diskId, i]))
    const found = (await imagesOfRun(sql, id)).filter(i => asked.has(i.diskId))
    return found.sort((a, b) => asked.get(a.diskId)! - asked.get(b.diskId)!)
  })
}

const INSERT_IMAGES = `
  insert into varve.images (run_id, position, disk_id, disk_size, block_size, kind, reason, parent_image_id, source_image_id, since, cbt,
    datastore_id)
  select $1, $3::integer + s.position, i."diskId", i."diskSize", i."blockSize", i.kind, i.reason, i."parentImageId", i."sourceImageId", i.since, i.cbt,
         (select d.datastore_id from varve.disks d join varve.runs r on r.vm_id = d.vm_id where r.id = $1 and d.disk_id = i."diskId")
    from jsonb_array_elements($2::jsonb) with ordinality as s (image, position)
    cross join lateral jsonb_to_record(s.image) as i ("diskId" text, "diskSize" bigint, "blockSize" integer, kind text, reason text,
      "parentImageId" uuid, "sourceImageId" uuid, since text, cbt boolean)`

/**
 * All ranges are in. preparing -> copying, and the dispatcher gives its ranges out; with nothing to copy the step after that; with a cancel asked for
 * meanwhile -> finishing.
 */
export async function planned(db: Database, id: string, plan: MadePlan = {}): Promise<void> {
  await db.transaction(async sql => {
    const run = await lockRun(sql, id)
    expectSnapshot(run, plan.snapshotId)
    if (run.planned_at !== null) return
    expectState(run, 'preparing')
    if (plan.leaseId !== undefined && plan.leaseId !== run.lease_id) throw planChanged(run, `run ${id} has another lease by now`)
    if (plan.images !== undefined) await expectImages(sql, run, plan.images)
    if (run.kind === 'preview' && plan.prediction === undefined) {
      throw new CatalogError('BAD_REQUEST', 'a preview is done with its prediction', { runId: id })
    }
    await sql.query(`update varve.runs set planned_at = now(), touched_at = now(), prediction = $2 where id = $1`, [
      id,
      plan.prediction === undefined ? null : JSON.stringify(plan.prediction),
    ])
    if (run.cancel_requested) await endRun(sql, id, CANCELLED)
    else if (await nothingLeftToCopy(sql, id)) await afterCopying(sql, run)
    else await sql.query(`update varve.runs set state = 'copying' where id = $1`, [id])
  })
}

/** What is stored must be this plan and all of it: the rest of another attempt's would be copied along. */
async function expectImages(sql: Sql, run: LockedRun, images: NonNullable<MadePlan['images']>): Promise<void> {
  const { rows } = await sql.query<{ id: string; ranges_total: number }>(`select id, ranges_total from varve.images where run_id = $1`, [
    run.id,
  ])
  const given = new Map(images.map(({ imageId, ranges }) => [imageId, ranges]))
  if (rows.length === images.length && rows.every(row => given.get(row.id) === row.ranges_total)) return
  throw planChanged(run, `another plan of run ${run.id} is stored`)
}

/** Are all ranges in? The run is locked by the caller. */
export async function nothingLeftToCopy(sql: Sql, runId: string): Promise<boolean> {
  const { rows } = await sql.query<{ left: boolean }>(
    `select exists (select 1 from varve.images where run_id = $1 and ranges_done < ranges_total) as left`,
    [runId],
  )
  return rows[0]?.left === false
}

/** The last range is in: a backup goes to sealing, a restore to finishing, with damage if any range had some; a preview had none to begin with. The run is locked. */
export async function afterCopying(sql: Sql, run: Pick<LockedRun, 'id' | 'kind'>): Promise<void> {
  await sql.query(`update varve.runs set copied_at = coalesce(copied_at, now()) where id = $1`, [run.id])
  if (run.kind === 'backup') {
    await sql.query(`update varve.runs set state = 'sealing', touched_at = now() where id = $1`, [run.id])
    await addStepJob(sql, run.id, 'seal-restore-point')
    return
  }
  const { rows } = await sql.query<{ damaged: boolean }>(
    `select exists (select 1 from varve.ranges where run_id = $1 and damage <> '[]') as damaged`,
    [run.id],
  )
  await endRun(sql, run.id, { outcome: rows[0]?.damaged === true ? 'succeeded-with-damage' : 'succeeded' })
}
