import { type Catalog, ENDED_STATES, type RunForWork } from '@varve/catalog-client'
import { errorReport, hasCode } from '@varve/errors'
import { type PlatformDriver, PlatformError } from '@varve/platform'
import { sleep } from '@varve/runtime'
import { createdVm } from './new-vm.ts'
import { FIRST_LEASE_SECONDS } from './run-lease.ts'
import { snapshotName } from './run-snapshot.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/** Give the lease back, also one whose id nobody noted. Releasing one that is gone succeeds. */
export async function releaseLease(run: RunForWork, platform: PlatformDriver, catalog: Catalog, signal: AbortSignal): Promise<void> {
  const { leaseId, leaseToken } = run.resources
  if (leaseId !== null) await platform.releaseLease(leaseId, signal)
  if (leaseToken === null) return
  await releaseUnnoted(run, leaseToken, platform, signal)
  if (run.state === 'finishing') await catalog.recordResources(run.id, { leaseToken: null })
}

/** Refusals that say that the platform knows no lease under the token: it would have answered with that, whatever the VM is doing. */
const NOTHING_THERE = ['LEASE_OCCUPIED', 'LEASE_LOST', 'VM_NOT_FOUND', 'VM_NOT_OFF', 'VM_BUSY'] as const

/** Somebody died between asking for a lease and noting its id: asked for again under the same token, it can be told which it is. */
async function releaseUnnoted(run: RunForWork, token: string, platform: PlatformDriver, signal: AbortSignal): Promise<void> {
  const vmId = run.kind === 'restore' ? run.targetPlatformVmId : run.platformVmId
  if (vmId === null) return
  try {
    const { id } = await platform.createLease(vmId, run.kind === 'restore' ? 'restore' : 'backup', FIRST_LEASE_SECONDS, signal, token)
    await platform.releaseLease(id, signal)
  } catch (error) {
    if (!hasCode(error, ...NOTHING_THERE)) throw error
  }
}

function hasEnded(run: RunForWork): boolean {
  return ENDED_STATES.includes(run.state)
}

/**
 * Delete every snapshot that carries the run's name, newest first, whether the catalog knows of it or not.
 *
 * @param mayComeYet may somebody have died while one was being taken? (default: yes)
 * @throws PlatformError VM_BUSY while a snapshot may still be on its way: a task that a killed process asked for goes on without it.
 */
export async function deleteSnapshots(
  run: RunForWork,
  platform: PlatformDriver,
  signal: AbortSignal,
  { mayComeYet = true }: { readonly mayComeYet?: boolean } = {},
): Promise<number> {
  // Restores work on their target; a new VM may not exist yet.
  const vmId = run.targetPlatformVmId ?? run.platformVmId
  // Of a run that has ended the name is struck off; whoever comes late may still have asked for a snapshot.
  const asked = run.resources.snapshotName !== null || (hasEnded(run) && run.startedAt !== null)
  const askBusy = mayComeYet && asked
  try {
    for (let deleted = 0; ; ) {
      // In this order: a task that ended before we looked has its snapshot in the list.
      const pending = askBusy && (await platform.getVm(vmId, signal)).busy
      const snapshots = await platform.listSnapshots(vmId, snapshotName(run.id), signal)
      if (snapshots.length === 0 && pending) throw new PlatformError('VM_BUSY', 'a snapshot of the run may still be on its way', { vmId })
      for (const { id } of snapshots.toReversed()) await platform.deleteSnapshot(vmId, id, signal)
      deleted += snapshots.length
      if (snapshots.length === 0 || !askBusy) return deleted
    }
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

export function isSuccess(outcome: RunForWork['outcome']): boolean {
  return outcome === 'succeeded' || outcome === 'succeeded-with-damage'
}

/** How long to wait for a task of the platform that holds what is to be taken away. */
const PATIENCE_MS = 600_000
const RETRY_MS = 2000

/**
 * For a preparing job that failed: when the run has ended meanwhile (cancelled, failed elsewhere, done by another worker), `finish-run`
 * may have looked before the last snapshot or VM was there, so whatever the run made and does not need goes now. A run that is still to
 * be prepared keeps all: the next attempt goes on with it.
 *
 * @param made VMs that the platform made for this very job: one that is not the run's target is a second one, made after the platform had forgotten the token
 * @throws what may pass (VM_BUSY after ten minutes, the platform out of reach), so that the job is delivered again: nobody else comes by.
 */
export async function takeAwayIfEnded(
  runId: string,
  { catalog, log, retryMs = RETRY_MS }: SnapshotDeps,
  platform: PlatformDriver,
  signal: AbortSignal,
  made: ReadonlySet<string> = new Set(),
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  let ended = false
  for (;;) {
    try {
      const run = await catalog.getRunForWork(runId)
      ended = run.state === 'finishing' || hasEnded(run)
      if (!ended) return
      await releaseLease(run, platform, catalog, signal)
      // Also after a good end: this job itself may be the late one, delivered again after it was killed.
      await deleteSnapshots(run, platform, signal)
      if (run.kind === 'restore' && !isSuccess(run.outcome)) await deleteCreatedVm(run, platform, signal)
      for (const vmId of made) if (vmId !== run.targetPlatformVmId) await platform.deleteVm(vmId, signal)
      return
    } catch (error) {
      if (!hasCode(error, 'VM_BUSY') || performance.now() > deadline) {
        log.warn({ runId, err: error }, 'what the run made could not be taken away')
        if (ended && errorReport(error).retryable) throw error
        return
      }
    }
    await sleep(retryMs, signal)
  }
}
