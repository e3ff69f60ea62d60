import type { BackupOptions } from '@varve/catalog-client'
import { isParentMaterial } from '@varve/planning'
import type { PlatformSnapshot } from '@varve/platform'
import { takeAwayIfEnded } from './clean-up.ts'
import { ensureTracking } from './disk-tracking.ts'
import { SnapshotError } from './errors.ts'
import { vmForRun } from './idle-vm.ts'
import { readParent } from './parent-images.ts'
import { closePlans, type DiskPlan, type PlanContext, planDisks, ResetNeeded } from './plan-disks.ts'
import { acquireLease } from './run-lease.ts'
import { resetAndRetake, takeSnapshot } from './run-snapshot.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import { type PlannedImage, storePlan } from './store-plan.ts'
import { notesOnExcluded, usableDisks } from './usable-disks.ts'

/**
 * The first step of a backup: from a VM to ranges that block-readers can copy.
 *
 *     VM usable? -> tracking on -> snapshot -> what changed, disk by disk -> lease -> images and ranges into the catalog
 *
 * Effect: a snapshot and a lease on the platform, both recorded; images and ranges in the catalog; the run is `copying`.
 * Safe to repeat at any line: the snapshot is found again by its name, the lease by its record, the plan is the stored one. When the
 * run ends while this works (cancelled, failed elsewhere), what was made is taken away again here, because nobody else may know of it.
 *
 * Errors: SnapshotError, PlatformError, CatalogError, RepositoryError. RUN_ENDED: stop quietly.
 */
export async function prepareBackup(runId: string, deps: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const { catalog, platforms, log } = deps
  let run = await catalog.getRunForWork(runId)
  const repeated = run.state !== 'queued'
  const platform = await platforms.get(run.platformId)
  try {
    if (run.state === 'copying' || run.state === 'sealing') return // delivered twice
    await catalog.startRun(runId)
    if (run.cancelRequested) throw new SnapshotError('CANCELLED', 'the run was cancelled')

    const vm = await vmForRun(run.platformVmId, run, { platform, catalog, signal, retryMs: deps.retryMs })
    const disks = usableDisks(vm)
    for (const note of notesOnExcluded(vm)) await catalog.addNote(runId, note)

    const options = run.options as BackupOptions
    const tracking = await ensureTracking(run, disks, options.enableCbt ?? true, { platform, catalog }, signal)
    run = await catalog.getRunForWork(runId)

    const parent = await readParent(run.vmId, deps)
    const diskIds = disks.map(disk => disk.id)
    const blockSize = deps.repository.format.blockSize
    const facts = { run, diskIds, tracking, parent, blockSize, requested: options.full ?? false, platform, log, signal }
    const { snapshot, plans } = await snapshotAndPlan(facts, deps)
    try {
      await acquireLease(run, { repeated, signal, vmId: run.platformVmId, type: 'backup', platform, catalog, retryMs: deps.retryMs })
      await storePlan(run, plannedImages(plans, snapshot, blockSize), catalog)
    } finally {
      await closePlans(plans)
    }
    await catalog.planned(runId)
    log.info({ runId, vmId: run.vmId, snapshotId: snapshot.id, checkpointId: String(snapshot.checkpointId) }, 'backup prepared')
  } catch (error) {
    await takeAwayIfEnded(runId, deps, platform, signal)
    throw error
  }
}

/** The snapshot and the plan of each disk; after an expired answer both once more, with tracking reset in between. */
async function snapshotAndPlan(
  facts: Omit<PlanContext, 'snapshot'>,
  { catalog }: SnapshotDeps,
): Promise<{ readonly snapshot: PlatformSnapshot; readonly plans: readonly DiskPlan[] }> {
  const { run, platform, signal } = facts
  const context = { vmId: run.platformVmId, platform, catalog, signal }
  const snapshot = await takeSnapshot(run, context)
  try {
    return { snapshot, plans: await planDisks({ ...facts, snapshot }) }
  } catch (error) {
    if (!(error instanceof ResetNeeded)) throw error
    await catalog.addNote(run.id, 'Changed block tracking had expired and was reset.')
    const retaken = await resetAndRetake(run, context)
    return { snapshot: retaken, plans: await planDisks({ ...facts, snapshot: retaken }) }
  }
}

function plannedImages(plans: readonly DiskPlan[], snapshot: PlatformSnapshot, blockSize: number): PlannedImage[] {
  return plans.map(({ diskId, diskSize, choice, ranges }) => ({
    ranges,
    image: {
      diskId,
      diskSize,
      blockSize,
      kind: choice.kind,
      reason: choice.reason,
      parentImageId: choice.parentImageId,
      cbt: isParentMaterial(choice.reason, snapshot.checkpointId),
      sourceImageId: null,
    },
  }))
}
