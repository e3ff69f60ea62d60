import type { Prediction, RestoreOptions, RunForWork } from '@varve/catalog-client'
import { withPreview } from '@varve/planning'
import { takeAwayIfEnded } from './clean-up.ts'
import { SnapshotError } from './errors.ts'
import { previewBefore } from './past-runs.ts'
import { planRestoreDisk } from './plan-restore-disk.ts'
import { withoutFail } from './predict-backup.ts'
import { predictRestore } from './predict-restore.ts'
import { checkTargetDisks, restoreTarget } from './restore-target.ts'
import { acquireLease } from './run-lease.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import { snapshotUnderLease } from './snapshot-under-lease.ts'
import { isPlannedMeanwhile, type PlannedImage, storePlan } from './store-plan.ts'

/**
 * The first step of a restore: from a restore point to ranges that block-writers can write.
 *
 *     new VM from the saved configuration, or the original, powered off -> (differential: snapshot, lease, what changed since the point)
 *     -> ranges of each disk -> lease -> images and ranges into the catalog
 *
 * Effect: perhaps a new VM and a snapshot, and a lease of type restore, all recorded; ranges in the catalog; the run is `copying`.
 * Safe to repeat at any line: the VM is found again by its client token, the snapshot by its name, the lease by its record.
 *
 * Errors: SnapshotError, PlatformError (VM_NOT_OFF, …), RepositoryError, BlockMapError, CatalogError. RUN_ENDED: stop quietly.
 */
export async function prepareRestore(runId: string, deps: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const { catalog, platforms, log } = deps
  let run = await catalog.getRunForWork(runId)
  const repeated = run.state !== 'queued'
  const platform = await platforms.get(run.platformId)
  const plans: PlannedImage[] = []
  const made = new Set<string>()
  try {
    if (run.state === 'copying') return // delivered twice
    await catalog.startRun(runId)
    if (run.cancelRequested || run.restorePointId === null) throw new SnapshotError('CANCELLED', 'the run was cancelled')
    const options = run.options as RestoreOptions
    const point = await catalog.getPoint(run.restorePointId)
    const saved = await catalog.getPointConfig(point.id)

    const unbound = { repeated, signal, type: 'restore', platform, catalog, retryMs: deps.retryMs } as const
    const vm = await restoreTarget(run, saved, point.images, { platform, deps, signal, lease: unbound, made })
    await catalog.setTarget(runId, vm.id)
    for (const note of checkTargetDisks(point.images, vm)) await catalog.addNote(runId, note)
    run = await catalog.getRunForWork(runId)

    const differential = options.target === 'original' && (options.differential ?? false)
    const lease = { ...unbound, vmId: vm.id }
    const under = differential ? await snapshotUnderLease(run, lease) : null
    const since = under && {
      snapshot: under.snapshot,
      checkpoint: BigInt(saved.checkpointId),
      disks: platform.configuredDisks(saved.config),
    }
    const onto = options.target === 'new-vm' ? 'empty' : 'unknown'
    for (const image of point.images) {
      plans.push(await planRestoreDisk(image, { run, vmId: vm.id, onto, since, platform, deps, signal }))
    }

    // A differential has its lease, or has lost it: with another one, what was written meanwhile would stay.
    const { leaseId } = under ?? (await acquireLease(run, lease))
    const prediction = await withoutFail(() => predicted(run, plans, deps, signal), runId, deps)
    await storePlan(run, plans, { snapshotId: under?.snapshot.id ?? null, leaseId, prediction }, catalog)
    log.info({ runId, restorePointId: point.id, target: vm.id, differential }, 'restore prepared')
  } catch (error) {
    await takeAwayIfEnded(runId, deps, platform, signal, made)
    if (!(await isPlannedMeanwhile(runId, deps))) throw error
    log.info({ runId, err: error }, 'another worker prepared the restore')
  } finally {
    await Promise.all(plans.map(plan => plan.ranges.close()))
  }
}

/** What a preview found out where the plan is the same, else what part of the block map and past runs tell. */
async function predicted(run: RunForWork, plans: readonly PlannedImage[], deps: SnapshotDeps, signal: AbortSignal): Promise<Prediction> {
  return withPreview(await predictRestore(run, plans, { whole: false }, deps, signal), await previewBefore(run, deps.catalog))
}
