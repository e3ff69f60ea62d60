import type { BackupOptions, Prediction, RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { isParentMaterial, withPreview } from '@varve/planning'
import type { PlatformSnapshot, PlatformVm } from '@varve/platform'
import { takeAwayIfEnded } from './clean-up.ts'
import { ensureTracking } from './disk-tracking.ts'
import { SnapshotError } from './errors.ts'
import { vmForRun } from './idle-vm.ts'
import { readParent } from './parent-images.ts'
import { pastRuns, previewBefore } from './past-runs.ts'
import { closePlans, type DiskPlan, type PlanContext, planDisks, ResetNeeded } from './plan-disks.ts'
import { predictBackup, withoutFail } from './predict-backup.ts'
import { acquireLease } from './run-lease.ts'
import { resetAndRetake, takeSnapshot } from './run-snapshot.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import { isPlannedMeanwhile, type PlannedImage, storePlan } from './store-plan.ts'
import { notesOnDetached, notesOnExcluded, snapshotDisks, usableDisks } from './usable-disks.ts'

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

    const parent = await readParent(run.vmId, deps, platform)
    const blockSize = deps.repository.format.blockSize
    const facts = { run, vm, tracking, parent, blockSize, requested: options.full ?? false, limits: deps.limits, platform, log, signal }
    const { snapshot, plans } = await snapshotAndPlan(facts, deps)
    try {
      await acquireLease(run, { repeated, signal, vmId: run.platformVmId, type: 'backup', platform, catalog, retryMs: deps.retryMs })
      const prediction = await withoutFail(() => predicted(run, plans, deps), run.id, deps)
      await storePlan(run, plannedImages(plans, snapshot, blockSize), { snapshotId: snapshot.id, prediction }, catalog)
    } finally {
      await closePlans(plans)
    }
    log.info({ runId, vmId: run.vmId, snapshotId: snapshot.id, checkpointId: String(snapshot.checkpointId) }, 'backup prepared')
  } catch (error) {
    await takeAwayIfEnded(runId, deps, platform, signal)
    if (!(await isPlannedMeanwhile(runId, deps))) throw error
    log.info({ runId, err: error }, 'another worker prepared the backup')
  }
}

/** What a preview found out where the plan is the same, else what past runs and the plan tell. */
async function predicted(run: RunForWork, plans: readonly DiskPlan[], { catalog }: SnapshotDeps): Promise<Prediction> {
  return withPreview(predictBackup(run.vmId, plans, await pastRuns(run, 'backup', catalog)), await previewBefore(run, catalog))
}

type Facts = Omit<PlanContext, 'snapshot' | 'disks'> & { readonly vm: PlatformVm }
interface Plan {
  readonly snapshot: PlatformSnapshot
  readonly plans: readonly DiskPlan[]
}

/** The snapshot and the plan of each disk; after an expired answer both once more, with tracking reset in between. */
async function snapshotAndPlan(facts: Facts, deps: SnapshotDeps): Promise<Plan> {
  const { catalog } = deps
  const { run, platform, signal } = facts
  const context = { vmId: run.platformVmId, platform, catalog, signal }
  const snapshot = await takeSnapshot(run, context)
  try {
    return await planFrom(snapshot, facts, deps)
  } catch (error) {
    if (!(error instanceof ResetNeeded)) throw error
    await catalog.addNote(run.id, 'Changed block tracking had expired and was reset.')
    return planFrom(await resetAndRetake(run, context), facts, deps)
  }
}

/** What an earlier attempt stored of a plan from this very snapshot is gone on with, or dropped when it can't be made again. */
async function planFrom(snapshot: PlatformSnapshot, facts: Facts, { catalog }: SnapshotDeps): Promise<Plan> {
  const { run, platform, signal } = facts
  const known = new Set(facts.vm.disks.map(disk => disk.id))
  // A disk that came between the look at the VM and the snapshot may be one to be left out.
  const vm = snapshot.disks.every(disk => known.has(disk.id)) ? facts.vm : await platform.getVm(run.platformVmId, signal)
  for (const note of [...notesOnExcluded(vm), ...notesOnDetached(snapshot, facts.vm)]) await catalog.addNote(run.id, note)
  const context = { ...facts, snapshot, disks: snapshotDisks(snapshot, vm), run: await catalog.getRunForWork(run.id) }
  try {
    return { snapshot, plans: await planDisks(context) }
  } catch (error) {
    if (!hasCode(error, 'PLAN_CHANGED')) throw error
    await catalog.dropPlan(run.id, snapshot.id)
    return { snapshot, plans: await planDisks({ ...context, run: { ...context.run, images: [] } }) }
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
      since: choice.since === null ? null : String(choice.since),
      cbt: isParentMaterial(snapshot.checkpointId, choice.since),
      sourceImageId: null,
    },
  }))
}
