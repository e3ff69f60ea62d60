import { randomUUID } from 'node:crypto'
import type { Catalog, RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import type { LeaseType, PlatformDriver } from '@varve/platform'
import { sleep } from '@varve/runtime'

/**
 * First lifetime of a lease. Short: one that a crash lost, and whose token the platform has forgotten, locks the VM for this long. Always the same: under one
 * token the platform wants the same request.
 */
export const FIRST_LEASE_SECONDS = 120

/** How long to wait for a VM that is locked: a first attempt for a twin of this job, a repeated one for a lease that a crash lost. */
const PATIENCE_MS = { first: 10_000, repeated: (FIRST_LEASE_SECONDS + 10) * 1000 }
const RETRY_MS = 2000

export interface LeaseContext {
  readonly vmId: string
  readonly type: LeaseType
  readonly platform: PlatformDriver
  readonly catalog: Catalog
  /** Did an earlier attempt begin? */
  readonly repeated: boolean
  readonly signal: AbortSignal
  readonly retryMs: number | undefined
}

/**
 * The run's lease: the recorded one if it still lives, else the one that an earlier attempt asked for under the token that is noted, else a new one. A token is
 * noted before it is used and struck off when the lease is recorded: noted, there may be a lease that nobody knows the id of.
 *
 * @returns whether it had to be waited for
 * @throws PlatformError LEASE_OCCUPIED when somebody else holds the VM.
 */
export async function acquireLease(
  run: RunForWork,
  context: LeaseContext,
): Promise<{ readonly leaseId: string; readonly waited: boolean }> {
  const { vmId, type, platform, catalog, repeated, signal, retryMs = RETRY_MS } = context
  const deadline = performance.now() + (repeated ? PATIENCE_MS.repeated : PATIENCE_MS.first)
  for (let waited = false; ; waited = true) {
    const leaseId = await liveLease(run, context)
    if (leaseId !== null) return { leaseId, waited }
    const token = await notedToken(run.id, catalog)
    try {
      const lease = await platform.createLease(vmId, type, FIRST_LEASE_SECONDS, signal, token)
      await recordOrRelease(run.id, lease.id, platform, catalog)
      return { leaseId: lease.id, waited }
    } catch (error) {
      if (!hasCode(error, 'LEASE_OCCUPIED')) throw error
      // Nothing was made under it, and the platform may remember the refusal.
      await catalog.recordResources(run.id, { leaseToken: null })
      if (performance.now() + retryMs > deadline) throw error
      await sleep(retryMs, signal)
    }
  }
}

/** @throws RUN_ENDED when the run is over: nothing must be asked for then. */
async function notedToken(runId: string, catalog: Catalog): Promise<string> {
  const { leaseToken } = (await catalog.getRunForWork(runId)).resources
  const token = leaseToken ?? randomUUID()
  await catalog.recordResources(runId, { leaseToken: token })
  return token
}

/** The recorded lease if it still lives, else null. */
export async function liveLease(
  run: RunForWork,
  { catalog, platform, signal }: Pick<LeaseContext, 'catalog' | 'platform' | 'signal'>,
): Promise<string | null> {
  const { leaseId } = (await catalog.getRunForWork(run.id)).resources
  return leaseId !== null && (await isLive(platform, leaseId, signal)) ? leaseId : null
}

async function isLive(platform: PlatformDriver, leaseId: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { status } = await platform.getLease(leaseId, signal)
    return status === 'running' || status === 'pending'
  } catch (error) {
    if (hasCode(error, 'LEASE_LOST')) return false
    throw error
  }
}

/** A lease that can't be recorded (the run ended meanwhile) would be nobody's: give it back at once. */
async function recordOrRelease(runId: string, leaseId: string, platform: PlatformDriver, catalog: Catalog): Promise<void> {
  try {
    await catalog.recordResources(runId, { leaseId, leaseToken: null })
  } catch (error) {
    await platform.releaseLease(leaseId).catch(() => {})
    throw error
  }
}
