import { randomUUID } from 'node:crypto'
import { type Catalog, CatalogError, type RunForWork } from '@varve/catalog-client'
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
 * @returns whether it had to be waited for, and whether it was made here and not found
 * @throws PlatformError LEASE_OCCUPIED when somebody else holds the VM.
 */
export async function acquireLease(
  run: RunForWork,
  context: LeaseContext,
): Promise<{ readonly leaseId: string; readonly waited: boolean; readonly made: boolean }> {
  const { vmId, type, platform, catalog, repeated, signal, retryMs = RETRY_MS } = context
  const deadline = performance.now() + (repeated ? PATIENCE_MS.repeated : PATIENCE_MS.first)
  for (let waited = false; ; waited = true) {
    const recorded = await recordedLease(run, context)
    if (recorded.live) return { leaseId: recorded.leaseId, waited, made: false }
    const token = await notedToken(run.id, catalog)
    try {
      const lease = await platform.createLease(vmId, type, FIRST_LEASE_SECONDS, signal, token)
      await recordOrRelease(run.id, lease.id, recorded.leaseId, platform, catalog)
      // A twin that found it under the token may have given it back while this one waited for the answer.
      if (!(await isLive(platform, lease.id, signal))) continue
      return { leaseId: lease.id, waited, made: true }
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

type OfLease = Pick<LeaseContext, 'catalog' | 'platform' | 'signal'>

/** The recorded lease if it still lives, else null. */
export async function liveLease(run: RunForWork, context: OfLease): Promise<string | null> {
  const { live, leaseId } = await recordedLease(run, context)
  return live ? leaseId : null
}

async function recordedLease(
  run: RunForWork,
  { catalog, platform, signal }: OfLease,
): Promise<{ readonly live: true; readonly leaseId: string } | { readonly live: false; readonly leaseId: string | null }> {
  const { leaseId } = (await catalog.getRunForWork(run.id)).resources
  return leaseId !== null && (await isLive(platform, leaseId, signal)) ? { live: true, leaseId } : { live: false, leaseId }
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

/**
 * A lease that is not to be recorded would be nobody's: give it back at once. The run ended meanwhile, or another worker recorded its own while this one slept,
 * perhaps for so long that the lease it made is gone.
 */
async function recordOrRelease(
  runId: string,
  leaseId: string,
  before: string | null,
  platform: PlatformDriver,
  catalog: Catalog,
): Promise<void> {
  try {
    await catalog.recordResources(runId, { leaseId, leaseToken: null }, { leaseId: before })
  } catch (error) {
    // Any other failure leaves the token noted, under which the next attempt finds it.
    if (hasCode(error, 'RUN_ENDED', 'PLAN_CHANGED')) await platform.releaseLease(leaseId).catch(() => {})
    throw error
  }
}

/**
 * A worker died between asking for a lease and noting its id: it locks the VM, which then can't be edited. Found under the token that is noted, it is given
 * back. A twin that only slept is refused with its plan: it stands on that lease.
 */
export async function giveBackUnheard(run: RunForWork, context: LeaseContext): Promise<void> {
  const { leaseToken } = (await context.catalog.getRunForWork(run.id)).resources
  if (leaseToken === null) return
  const { leaseId } = await acquireLease(run, context)
  await giveBack(leaseId, run, context)
}

/** Struck off first, so that no plan can be made under it any more. */
export async function giveBack(leaseId: string, run: RunForWork, { platform, catalog, signal }: LeaseContext): Promise<void> {
  await expectPreparing(run, catalog)
  await catalog.recordResources(run.id, { leaseId: null }, { leaseId })
  await expectPreparing(run, catalog)
  await platform.releaseLease(leaseId, signal)
}

/** Its twin may have planned the run meanwhile, which then stands on that lease. */
async function expectPreparing({ id }: RunForWork, catalog: Catalog): Promise<void> {
  const { state } = await catalog.getRunForWork(id)
  if (state !== 'preparing') throw new CatalogError('PLAN_CHANGED', `another worker has planned run ${id}`, { runId: id, state })
}
