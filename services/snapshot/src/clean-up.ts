import { ENDED_STATES, type RunForWork } from '@varve/catalog-client'
import type { PlatformDriver } from '@varve/platform'
import { hasCode } from './errors.ts'
import { createdVm } from './new-vm.ts'
import { snapshotName } from './run-snapshot.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/** Give the lease back. Releasing one that is gone succeeds. */
export async function releaseLease(run: RunForWork, platform: PlatformDriver, signal: AbortSignal): Promise<void> {
  if (run.resources.leaseId !== null) await platform.releaseLease(run.resources.leaseId, signal)
}

/** Delete every snapshot that carries the run's name, newest first, whether the catalog knows of it or not. */
export async function deleteSnapshots(run: RunForWork, platform: PlatformDriver, signal: AbortSignal): Promise<number> {
  // Restores work on their target; a new VM may not exist yet.
  const vmId = run.targetPlatformVmId ?? run.platformVmId
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

/** Delete the VM that a restore made: a half-written one must not be mistaken for a restored one. */
export async function deleteCreatedVm(run: RunForWork, platform: PlatformDriver, signal: AbortSignal): Promise<void> {
  const vmId = await createdVm(run, platform, signal)
  if (vmId !== null) await platform.deleteVm(vmId, signal)
}

/**
 * For a preparing job that failed: when the run has ended meanwhile (cancelled, failed elsewhere), `finish-run` may have looked
 * before the last snapshot or VM was there, so whatever the run made goes now. A run that is still to be prepared keeps all: the next attempt goes on
 * with it.
 */
export async function takeAwayIfEnded(
  runId: string,
  { catalog, log }: SnapshotDeps,
  platform: PlatformDriver,
  signal: AbortSignal,
): Promise<void> {
  try {
    const run = await catalog.getRunForWork(runId)
    const ended = run.state === 'finishing' || ENDED_STATES.includes(run.state)
    if (!ended || run.outcome === 'succeeded' || run.outcome === 'succeeded-with-damage') return
    await releaseLease(run, platform, signal)
    await deleteSnapshots(run, platform, signal)
    if (run.kind === 'restore') await deleteCreatedVm(run, platform, signal)
  } catch (error) {
    // The job's own error is the one to report; this is tried again with the next delivery, or by `finish-run`.
    log.warn({ runId, err: error }, 'what the run made could not be taken away')
  }
}
