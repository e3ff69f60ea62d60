import type { BackupOptions, RunForWork } from '@varve/catalog-client'
import { fullBecause, type Prediction, planRanges } from '@varve/planning'
import type { PlatformDriver } from '@varve/platform'
import { OpenExports } from '@varve/range-worker'
import { allocatedAreas, countAllocated, isOutOfReach } from './allocation.ts'
import { lookAtTracking } from './disk-tracking.ts'
import { vmForRun } from './idle-vm.ts'
import { readParent } from './parent-images.ts'
import { pastRuns } from './past-runs.ts'
import { closePlans, type DiskPlan, planDisks } from './plan-disks.ts'
import { predictBackup, type Reads, readsByPlan } from './predict-backup.ts'
import { RangeSpool } from './range-spool.ts'
import { acquireLease } from './run-lease.ts'
import { takeSnapshot } from './run-snapshot.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import { notesOnExcluded, snapshotDisks, usableDisks } from './usable-disks.ts'

/**
 * What a backup of the VM would read, were it started now. Planned as the backup plans, from a snapshot of its own, because a platform tells what changed up to a
 * snapshot only; nothing else of the VM is changed, tracking least of all. Then each disk is asked over NBD which of the blocks in the plan hold data: holes are not
 * read, so only that makes the figure exact.
 */
export async function previewBackup(
  run: RunForWork,
  repeated: boolean,
  platform: PlatformDriver,
  deps: SnapshotDeps,
  signal: AbortSignal,
): Promise<Prediction> {
  const { catalog, log } = deps
  const vm = await vmForRun(run.platformVmId, run, { platform, catalog, signal, retryMs: deps.retryMs })
  const disks = usableDisks(vm)
  for (const note of notesOnExcluded(vm)) await catalog.addNote(run.id, note)
  const options = run.options as BackupOptions
  const tracking = await lookAtTracking(run.platformVmId, disks, options.enableCbt ?? true, platform, signal)
  const parent = await readParent(run.vmId, deps, platform)
  const past = await pastRuns(run, 'backup', catalog)
  const blockSize = deps.repository.format.blockSize

  const snapshot = await takeSnapshot(run, { vmId: run.platformVmId, platform, catalog, signal })
  const { leaseId } = await acquireLease(run, {
    repeated,
    signal,
    vmId: run.platformVmId,
    type: 'backup',
    platform,
    catalog,
    retryMs: deps.retryMs,
  })
  const context = { run, snapshot, disks: snapshotDisks(snapshot, vm), tracking, parent, blockSize, platform, log, signal }
  const plans = await planDisks({ ...context, requested: options.full ?? false, limits: deps.limits, lookOnly: true })
  const exports = new OpenExports()
  try {
    const looks: { plan: DiskPlan; reads: Reads }[] = []
    for (const [i, plan] of plans.entries()) {
      const look = await lookAtDisk(plan, { run, leaseId, snapshotId: snapshot.id, blockSize, exports, platform, deps, signal })
      plans[i] = look.plan
      looks.push(look)
    }
    return predictBackup(
      run.vmId,
      plans,
      past,
      looks.map(({ reads }) => reads),
    )
  } finally {
    await exports.close()
    await closePlans(plans)
  }
}

interface Look {
  readonly run: RunForWork
  readonly leaseId: string
  readonly snapshotId: string
  readonly blockSize: number
  readonly exports: OpenExports
  readonly platform: PlatformDriver
  readonly deps: SnapshotDeps
  readonly signal: AbortSignal
}

async function lookAtDisk(
  plan: DiskPlan,
  { run, leaseId, snapshotId, blockSize, exports, platform, deps, signal }: Look,
): Promise<{ plan: DiskPlan; reads: Reads }> {
  const { diskId, diskSize, choice } = plan
  const geometry = { diskSize, blockSize }
  try {
    const address = await platform.diskAddress(leaseId, diskId, snapshotId, signal)
    return await exports.use(address, signal, async disk => {
      // Without structured replies every byte of a block comes, holes as zeros.
      if (!disk.structuredReplies) return { plan, reads: { ofRanges: plan.ranges.volumes.map(({ read }) => read), exact: true } }
      if (!disk.blockStatusAvailable) return { plan, reads: readsByPlan(plan) }
      // The run would ask tracking, once it is on or reset, for what is allocated.
      const asksThen = choice.since === null && choice.reason !== null && fullBecause(choice.reason).since !== null
      if (!asksThen) return { plan, reads: { ofRanges: await countAllocated(plan.ranges, geometry, disk, signal), exact: true } }
      const ranges = await RangeSpool.fill(planRanges(allocatedAreas(disk, diskSize, signal), geometry, deps.limits), geometry)
      await plan.ranges.close()
      const planned = { ...plan, ranges }
      return { plan: planned, reads: { ofRanges: await countAllocated(ranges, geometry, disk, signal), exact: true } }
    })
  } catch (error) {
    if (!isOutOfReach(error)) throw error
    deps.log.warn({ runId: run.id, diskId, err: error }, 'the disk cannot be asked what is allocated')
    await deps.catalog.addNote(run.id, `Disk ${diskId} could not be asked which blocks hold data; at most the bytes given are read.`)
    return { plan, reads: readsByPlan(plan) }
  }
}
