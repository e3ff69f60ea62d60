import type { Catalog } from '@varve/catalog-client'
import { errorReport, hasCode } from '@varve/errors'
import { PlatformError } from '@varve/platform'
import type { Platforms } from '@varve/range-worker'
import { type Logger, sleep } from '@varve/runtime'
import { retakeLease } from './retake-lease.ts'

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
  /** Told of each renewal's outcome. */
  readonly counted?: ((outcome: RenewalOutcome) => void) | undefined
  /** Milliseconds between two tries for a VM that somebody else holds (default 2000). */
  readonly retryMs?: number
}

export type RenewalOutcome = 'renewed' | 'failed' | 'lost'

/**
 * Renew the leases of all live runs, whoever made them, round by round until the signal aborts. Every snapshot service does
 * this; renewing twice harms nothing.
 */
export async function renewLeases(deps: Deps, { everySeconds, leaseSeconds }: LeaseRenewal, signal: AbortSignal): Promise<void> {
  const underWay = new Set<string>()
  const rounds = new Set<Promise<void>>()
  while (!signal.aborted) {
    // Not waited for: what takes long in one round must not delay the next.
    const round = renewalRound(deps, leaseSeconds, signal, underWay).catch(error => {
      if (!signal.aborted) deps.log.warn({ err: error }, 'leases could not be listed')
    })
    rounds.add(round)
    void round.then(() => rounds.delete(round))
    await sleep(everySeconds * 1000, signal).catch(() => {})
  }
  await Promise.all(rounds)
}

/** Renewals of one platform at the same time. */
const SIDE_BY_SIDE = 32

/**
 * One round: platform by platform, and on each many at once, so that one that does not answer costs only itself. Each has a quarter of the lease's
 * lifetime, after which it is left to the next round like other troubles. A lease that the platform no longer knows is taken again where that is safe; where it
 * is not, its run ends with LEASE_LOST.
 *
 * @param underWay leases whose renewal is still waited for in an earlier round; they are left out
 */
export async function renewalRound(
  deps: Deps,
  leaseSeconds: number,
  signal: AbortSignal,
  underWay: Set<string> = new Set(),
): Promise<void> {
  const leases = (await deps.catalog.activeLeases()).filter(({ leaseId }) => !underWay.has(leaseId))
  for (const { leaseId } of leases) underWay.add(leaseId)
  await Promise.all(
    [...new Set(leases.map(lease => lease.platformId))].flatMap(platformId => {
      // One list, taken from by several.
      const due = leases.filter(lease => lease.platformId === platformId).values()
      return Array.from({ length: SIDE_BY_SIDE }, async () => {
        for (const lease of due) {
          await renew(lease, deps, leaseSeconds, signal).catch(error => {
            deps.log.warn(
              { runId: lease.runId, leaseId: lease.leaseId, err: error },
              'a lost lease could be neither taken again nor its run ended',
            )
          })
          underWay.delete(lease.leaseId)
        }
      })
    }),
  )
}

type ActiveLease = Awaited<ReturnType<Catalog['activeLeases']>>[number]

async function renew(lease: ActiveLease, deps: Deps, leaseSeconds: number, signal: AbortSignal): Promise<void> {
  const { runId, platformId, leaseId } = lease
  const { platforms, log } = deps
  if (signal.aborted) return
  try {
    const platform = await platforms.get(platformId)
    await within((leaseSeconds / 4) * 1000, signal, limited => platform.renewLease(leaseId, leaseSeconds, limited))
    deps.counted?.('renewed')
    log.debug({ runId, leaseId }, 'lease renewed')
  } catch (error) {
    if (signal.aborted) return
    deps.counted?.(hasCode(error, 'LEASE_LOST') ? 'lost' : 'failed')
    log.warn({ runId, leaseId, err: error }, 'lease not renewed')
    if (hasCode(error, 'LEASE_LOST')) {
      await within((leaseSeconds / 4) * 1000, signal, limited => retakeLease(lease, errorReport(error), deps, limited))
    }
  }
}

/** A call that ends in time, whether it heeds its signal or not. */
async function within(ms: number, signal: AbortSignal, call: (limited: AbortSignal) => Promise<void>): Promise<void> {
  const limit = new AbortController()
  const stop = (): void => limit.abort(signal.aborted ? signal.reason : new PlatformError('TASK_TIMEOUT', 'the renewal takes too long'))
  const timer = setTimeout(stop, ms)
  signal.addEventListener('abort', stop, { once: true })
  try {
    const late = new Promise<never>((_, reject) =>
      limit.signal.addEventListener('abort', () => reject(limit.signal.reason), { once: true }),
    )
    await Promise.race([call(limit.signal), late])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
