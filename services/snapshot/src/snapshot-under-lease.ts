import type { RunForWork } from '@varve/catalog-client'
import { PlatformError, type PlatformSnapshot } from '@varve/platform'
import { deleteSnapshots } from './clean-up.ts'
import { acquireLease, giveBack, type LeaseContext, liveLease } from './run-lease.ts'
import { snapshotName, takeSnapshot } from './run-snapshot.ts'

export interface UnderLease {
  readonly snapshot: PlatformSnapshot
  readonly leaseId: string
}

/** Snapshots in vain because the lease had to be waited for. */
const TRIES = 3

/**
 * For a differential restore: a snapshot of the target such that nobody can have written to it since, and the lease that sees to that. What the guest
 * writes between the two would be named by no changed areas and never be reverted. A platform takes no snapshot under a lease for restoring, so the
 * lease comes right after: at once, or the snapshot is taken again. An earlier attempt's snapshot counts only while the lease of that attempt lives:
 * once that ran out, the VM may have been on.
 *
 * A twin of this job may be at it at the same time: what it has under its lease is joined. A lease given back is struck off first, so that a plan that was
 * made under it is refused (PLAN_CHANGED).
 *
 * @throws PlatformError VM_BUSY, LEASE_OCCUPIED, and what snapshots throw
 */
export async function snapshotUnderLease(run: RunForWork, context: LeaseContext): Promise<UnderLease> {
  const { platform, signal, vmId, repeated } = context
  for (let attempt = 0; attempt <= TRIES; attempt++) {
    const held = await liveLease(run, context)
    if (held !== null) {
      const there = await platform.listSnapshots(vmId, snapshotName(run.id), signal)
      if (there.length > 0) return { snapshot: await takeSnapshot(run, context), leaseId: held }
      await giveBack(held, run, context)
    } else if (repeated && attempt === 0) {
      // A lease that a killed attempt could not note holds the VM until it runs out: better waited for here than by each snapshot.
      const { leaseId, made } = await acquireLease(run, context)
      if (!made) continue
      await giveBack(leaseId, run, context)
    }
    await deleteSnapshots(run, platform, signal)
    const snapshot = await takeSnapshot(run, context)
    const { leaseId, waited, made } = await acquireLease(run, context)
    if (!waited) return { snapshot, leaseId }
    if (made) await giveBack(leaseId, run, context)
  }
  throw new PlatformError('VM_BUSY', `VM ${vmId} was locked by others each time after its snapshot`, { vmId })
}
