import type { RunForWork } from '@varve/catalog-client'
import type { PlatformDriver } from '@varve/platform'
import { hasCode } from './errors.ts'
import { snapshotName } from './run-snapshot.ts'

/** The VM that a run works on: for restores the target, which for a new VM may not exist yet. */
export function workedOnVm(run: RunForWork): string {
  return run.targetPlatformVmId ?? run.platformVmId
}

/** Give the lease back. Releasing one that is gone succeeds. */
export async function releaseLease(run: RunForWork, platform: PlatformDriver, signal?: AbortSignal): Promise<void> {
  if (run.resources.leaseId !== null) await platform.releaseLease(run.resources.leaseId, signal)
}

/** Delete every snapshot that carries the run's name, newest first, whether the catalog knows of it or not. */
export async function deleteSnapshots(run: RunForWork, platform: PlatformDriver, signal?: AbortSignal): Promise<number> {
  const vmId = workedOnVm(run)
  try {
    const snapshots = await platform.listSnapshots(vmId, snapshotName(run.id), signal)
    for (const { id } of snapshots.toReversed()) await platform.deleteSnapshot(vmId, id, signal)
    return snapshots.length
  } catch (error) {
    // The VM went, and its snapshots with it.
    if (hasCode(error, 'VM_NOT_FOUND')) return 0
    throw error
  }
}
