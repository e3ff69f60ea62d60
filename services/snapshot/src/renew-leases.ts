import type { Catalog } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { Platforms } from '@varve/range-worker'
import { type Logger, sleep } from '@varve/runtime'
import { hasCode } from './errors.ts'

export interface LeaseRenewal {
  /** Seconds between two rounds. */
  readonly everySeconds: number
  /** Lifetime that each renewal asks for. Several rounds, so that an outage of minutes loses nothing. */
  readonly leaseSeconds: number
}

interface Deps {
  readonly catalog: Catalog
  readonly platforms: Platforms
  readonly log: Logger
}

/**
 * Renew the leases of all live runs, whoever made them, round by round until the signal aborts. Every snapshot service does
 * this; renewing twice harms nothing.
 */
export async function renewLeases(deps: Deps, { everySeconds, leaseSeconds }: LeaseRenewal, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await renewalRound(deps, leaseSeconds, signal)
    } catch (error) {
      if (!signal.aborted) deps.log.warn({ err: error }, 'leases could not be listed')
    }
    await sleep(everySeconds * 1000, signal).catch(() => {})
  }
}

/**
 * One round, platform by platform side by side, so that one that does not answer costs only its own leases. A lease that the
 * platform no longer knows ends its run with LEASE_LOST; other troubles are left to the next round.
 */
export async function renewalRound(deps: Deps, leaseSeconds: number, signal: AbortSignal): Promise<void> {
  const leases = await deps.catalog.activeLeases()
  const platformIds = new Set(leases.map(lease => lease.platformId))
  await Promise.all(
    [...platformIds].map(async platformId => {
      for (const lease of leases) if (lease.platformId === platformId) await renew(lease, deps, leaseSeconds, signal)
    }),
  )
}

type ActiveLease = Awaited<ReturnType<Catalog['activeLeases']>>[number]

async function renew({ runId, platformId, leaseId }: ActiveLease, deps: Deps, leaseSeconds: number, signal: AbortSignal): Promise<void> {
  const { catalog, platforms, log } = deps
  if (signal.aborted) return
  try {
    const platform = await platforms.get(platformId)
    await platform.renewLease(leaseId, leaseSeconds, signal)
    log.debug({ runId, leaseId }, 'lease renewed')
  } catch (error) {
    if (signal.aborted) return
    log.warn({ runId, leaseId, err: error }, 'lease not renewed')
    if (hasCode(error, 'LEASE_LOST')) await loseLease(runId, leaseId, error, catalog)
  }
}

/** The lease may be gone because the run just ended and gave it back, or has another by now: only a run that still counts on it fails. */
async function loseLease(runId: string, leaseId: string, error: unknown, catalog: Catalog): Promise<void> {
  try {
    const { resources, state } = await catalog.getRunForWork(runId)
    // While it prepares, the job itself takes a new one.
    if (resources.leaseId === leaseId && state === 'copying') await catalog.failRun(runId, errorReport(error))
  } catch (failure) {
    if (!hasCode(failure, 'RUN_ENDED', 'NOT_FOUND')) throw failure
  }
}
