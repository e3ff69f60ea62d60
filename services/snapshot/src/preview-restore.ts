import type { RestoreOptions, RunForWork } from '@varve/catalog-client'
import type { Prediction } from '@varve/planning'
import { type PlatformDriver, PlatformError } from '@varve/platform'
import { SnapshotError } from './errors.ts'
import { vmForRun } from './idle-vm.ts'
import { planRestoreDisk } from './plan-restore-disk.ts'
import { predictRestore } from './predict-restore.ts'
import { checkTargetDisks } from './restore-target.ts'
import { takeSnapshot } from './run-snapshot.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import type { PlannedImage } from './store-plan.ts'

/**
 * What a restore of the point would read and write, were it started now. Planned as the restore plans. A new VM is not made, the original not changed; only a differential
 * needs a snapshot of it, as the restore does, and the original must be off, as for the restore.
 */
export async function previewRestore(
  run: RunForWork,
  platform: PlatformDriver,
  deps: SnapshotDeps,
  signal: AbortSignal,
): Promise<Prediction> {
  const { catalog, retryMs } = deps
  if (run.restorePointId === null) throw new SnapshotError('CANCELLED', 'the preview has no restore point')
  const options = run.options as RestoreOptions
  const point = await catalog.getPoint(run.restorePointId)
  const saved = await catalog.getPointConfig(point.id)
  const original = options.target === 'original'
  if (original) {
    const vm = await vmForRun(saved.platformVmId, run, { platform, catalog, signal, retryMs })
    if (vm.busy) throw new PlatformError('VM_BUSY', `VM ${vm.name} has a task of the platform under way`)
    if (vm.power !== 'off')
      throw new PlatformError('VM_NOT_OFF', `VM ${vm.name} is not powered off, as it must be for the restore`, { vmId: vm.id })
    for (const note of checkTargetDisks(point.images, vm)) await catalog.addNote(run.id, note)
  }
  const since =
    original && options.differential
      ? {
          snapshot: await takeSnapshot(run, { vmId: saved.platformVmId, platform, catalog, signal }),
          checkpoint: BigInt(saved.checkpointId),
          disks: platform.configuredDisks(saved.config),
        }
      : null
  const plans: PlannedImage[] = []
  try {
    for (const image of point.images) {
      const onto = original ? 'unknown' : 'empty'
      plans.push(await planRestoreDisk(image, { run, vmId: saved.platformVmId, onto, since, platform, deps, signal }))
    }
    return await predictRestore(run, plans, { whole: true }, deps, signal)
  } finally {
    await Promise.all(plans.map(plan => plan.ranges.close()))
  }
}
