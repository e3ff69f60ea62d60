import type { Catalog, RunForWork } from '@varve/catalog-client'
import { type ErrorReport, hasCode } from '@varve/errors'
import type { Platforms } from '@varve/range-worker'
import type { Logger } from '@varve/runtime'
import { acquireLease } from './run-lease.ts'

interface Deps {
  readonly catalog: Catalog
  readonly platforms: Platforms
  readonly log: Logger
  readonly retryMs?: number | undefined
}

/** What says that a lease cannot be had again, or would be of no use; everything else may pass and is left to the next round. */
const FOR_GOOD = ['LEASE_OCCUPIED', 'SNAPSHOT_NOT_FOUND', 'VM_NOT_FOUND'] as const

/**
 * The platform knows the lease of a run no more. A backup reads from a snapshot, which nobody can have written to meanwhile: as long as that is there, a new lease
 * is as good as the old one. A restore's target may have been written to, or switched on, so the run ends with LEASE_LOST; so does a backup whose VM somebody
 * else holds, or whose snapshot is gone.
 *
 * Safe to repeat, also by several at once: the lease is asked for under a noted token, and whoever finds one recorded leaves it.
 *
 * @throws what may pass
 */
export async function retakeLease(
  lost: { readonly runId: string; readonly platformId: string; readonly leaseId: string },
  report: ErrorReport,
  { catalog, platforms, log, retryMs }: Deps,
  signal: AbortSignal,
): Promise<void> {
  const { runId } = lost
  try {
    const run = await catalog.getRunForWork(runId)
    // The run gave it back, or has another by now. While it prepares, the job itself takes a new one; once all is copied, none is needed.
    if (run.resources.leaseId !== lost.leaseId || run.state !== 'copying') return
    const { snapshotId } = run.resources
    if (run.kind === 'restore' || snapshotId === null) return await catalog.failRun(runId, report)
    const leaseId = await anotherLease(run, snapshotId)
    if (leaseId === lost.leaseId) return
    log.warn({ runId, code: 'LEASE_LOST', lost: lost.leaseId, leaseId }, 'the lease was lost and taken again')
    await catalog.addNote(runId, 'The lease was lost and taken again.')
    // Ranges that failed meanwhile would wait until they count as silent.
    await catalog.requeue(runId)
  } catch (failure) {
    if (hasCode(failure, 'RUN_ENDED', 'NOT_FOUND')) return
    if (!hasCode(failure, ...FOR_GOOD)) throw failure
    await catalog.failRun(runId, { ...report, message: `${report.message}; it cannot be taken again: ${failure.message}` })
  }

  async function anotherLease(run: RunForWork, snapshotId: string): Promise<string> {
    const platform = await platforms.get(run.platformId)
    await platform.getSnapshot(run.platformVmId, snapshotId, signal)
    const context = { vmId: run.platformVmId, type: 'backup', platform, catalog, repeated: false, signal, retryMs } as const
    return (await acquireLease(run, context)).leaseId
  }
}
