import { ENDED_STATES, type RestoreOptions, type RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { type PlatformDriver, PlatformError } from '@varve/platform'
import { deleteCreatedVm, deleteSnapshots, isSuccess, releaseLease } from './clean-up.ts'
import { deleteUnsealed } from './seal-restore-point.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/**
 * The last step of every run, whatever its outcome: release the lease, delete the snapshots (the platform merges), delete the VM
 * of a restore or the manifest of a backup that failed, power on where that was wished, close the run.
 *
 * Safe to repeat: releasing and deleting what is gone succeeds. It never gives up: a job that fails is delivered again, and when all
 * attempts are spent, the catalog's reconciler queues the step anew as long as the run is `finishing`.
 *
 * Errors: PlatformError (VM_BUSY while a task may still make something), RepositoryError, CatalogError.
 */
export async function finishRun(runId: string, deps: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const { catalog, platforms, log } = deps
  const run = await catalog.getRunForWork(runId)
  if (run.state !== 'finishing') {
    if (!ENDED_STATES.includes(run.state)) log.warn({ runId, state: run.state }, 'a run to be finished is still under way')
    return
  }
  const platform = await platforms.get(run.platformId)

  await releaseLease(run, platform, catalog, signal)
  // What a run that succeeded took is noted; one that did not may have died while it took one.
  const snapshots = await deleteSnapshots(run, platform, signal, { mayComeYet: !isSuccess(run.outcome) })
  if (run.kind === 'restore') {
    if (isSuccess(run.outcome)) await powerOn(run, platform, deps, signal)
    else await deleteCreatedVm(run, platform, signal)
  } else await deleteUnsealed(run, deps, signal)

  await catalog.closeRun(runId)
  log.info({ runId, outcome: run.outcome, snapshots }, 'run finished')
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
