import type { RunForWork } from '@varve/catalog-client'
import { PlatformError, type PlatformSnapshot } from '@varve/platform'
import { deleteSnapshots } from './clean-up.ts'
import { acquireLease, type LeaseContext, liveLease } from './run-lease.ts'
import { snapshotName, takeSnapshot } from './run-snapshot.ts'

/** Snapshots in vain because the lease had to be waited for. */
const TRIES = 3

/**
 * For a differential restore: a snapshot of the target such that nobody can have written to it since, and the lease that sees to that. What the guest
 * writes between the two would be named by no changed areas and never be reverted. A platform takes no snapshot under a lease for restoring, so the
 * lease comes right after: at once, or the snapshot is taken again. An earlier attempt's snapshot counts only while the lease of that attempt lives:
 * once that ran out, the VM may have been on.
 *
 * @throws PlatformError VM_BUSY, LEASE_OCCUPIED, and what snapshots throw
 */
export async function snapshotUnderLease(run: RunForWork, context: LeaseContext): Promise<PlatformSnapshot> {
  const { platform, catalog, signal, vmId, repeated } = context
  const held = await liveLease(run, context)
  if (held !== null && (await platform.listSnapshots(vmId, snapshotName(run.id), signal)).length > 0) return takeSnapshot(run, context)
  // A lease that a killed attempt could not note holds the VM until it runs out: better waited for here than by each snapshot.
  if (held !== null || repeated) await giveBack((await acquireLease(run, context)).leaseId)
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    await deleteSnapshots(run, platform, signal)
    const snapshot = await takeSnapshot(run, context)
    const { leaseId, waited } = await acquireLease(run, context)
    if (!waited) return snapshot
    await giveBack(leaseId)
  }
  throw new PlatformError('VM_BUSY', `VM ${vmId} was locked by others each time after its snapshot`, { vmId })

  async function giveBack(leaseId: string): Promise<void> {
    await platform.releaseLease(leaseId, signal)
    await catalog.recordResources(run.id, { leaseId: null })
  }
}
