import { ENDED_STATES, type RestoreOptions, type RunForWork, type RunResources } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { type PlatformDriver, PlatformError } from '@varve/platform'
import { deleteCreatedVm, deleteSnapshots, isSuccess, releaseLease } from './clean-up.ts'
import { deleteUnsealed } from './seal-restore-point.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/** Rounds of cleaning, when late workers record more while it goes on. */
const ROUNDS = 3

/**
 * The last step of every run, whatever its outcome: release the lease, delete the snapshots (the platform merges), delete the VM
 * of a restore or the manifest and roots of a backup that failed, power on where that was wished, close the run. Each resource is struck off once it is
 * gone: a run that has ended owns nothing, and the catalog closes no other.
 *
 * Safe to repeat: releasing and deleting what is gone succeeds. It never gives up: a job that fails is delivered again, and when all
 * attempts are spent, the catalog's reconciler queues the step anew as long as the run is `finishing`.
 *
 * Errors: PlatformError (VM_BUSY while a task may still make something), RepositoryError, CatalogError.
 */
export async function finishRun(runId: string, deps: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const { catalog, platforms, log } = deps
  for (let round = 1; ; round++) {
    const run = await catalog.getRunForWork(runId)
    if (run.state !== 'finishing') {
      if (!ENDED_STATES.includes(run.state)) log.warn({ runId, state: run.state }, 'a run to be finished is still under way')
      return
    }
    const snapshots = await takeAway(run, await platforms.get(run.platformId), deps, signal)
    try {
      await catalog.closeRun(runId)
      log.info({ runId, outcome: run.outcome, snapshots }, 'run finished')
      return
    } catch (error) {
      // A late worker recorded something since, for us to find.
      if (!hasCode(error, 'CONFLICT') || round === ROUNDS) throw error
    }
  }
}

/** @returns how many snapshots were deleted */
async function takeAway(run: RunForWork, platform: PlatformDriver, deps: SnapshotDeps, signal: AbortSignal): Promise<number> {
  const { leaseId, snapshotName, snapshotId, createdVmId } = run.resources
  const strikeOff = (resources: Partial<RunResources>): Promise<void> => deps.catalog.recordResources(run.id, resources)

  await releaseLease(run, platform, deps.catalog, signal)
  if (leaseId !== null) await strikeOff({ leaseId: null })
  // What a run that succeeded took is noted; one that did not may have died while it took one.
  const snapshots = await deleteSnapshots(run, platform, signal, { mayComeYet: !isSuccess(run.outcome) })
  if (snapshotName !== null || snapshotId !== null) await strikeOff({ snapshotName: null, snapshotId: null })
  if (run.kind === 'restore') {
    if (isSuccess(run.outcome)) await powerOn(run, platform, deps, signal)
    else await deleteCreatedVm(run, platform, signal)
    // Deleted, or the user's from now on.
    if (createdVmId !== null) await strikeOff({ createdVmId: null })
  } else await deleteUnsealed(run, deps, signal)
  return snapshots
}

async function powerOn(run: RunForWork, platform: PlatformDriver, { catalog }: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const wished = (run.options as RestoreOptions).powerOn ?? false
  if (!wished || run.targetPlatformVmId === null) return
  try {
    await platform.power(run.targetPlatformVmId, 'on', signal)
  } catch (error) {
    // The data is back; a VM that does not start is news, not a failed restore, and may never start. Only who could not ask asks again.
    if (hasCode(error, 'PLATFORM_UNREACHABLE', 'PLATFORM_THROTTLED') || !(error instanceof PlatformError)) throw error
    await catalog.addNote(run.id, `The VM could not be powered on: ${error.message}`)
  }
}
