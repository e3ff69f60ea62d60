import type { RangeForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { type DiskAddress, PlatformError } from '@varve/platform'
import { RangeWorkerError } from './errors.ts'
import type { Platforms } from './platforms.ts'

/** An address may be used this long without asking the platform again. */
const FRESH_MS = 60_000
const MOST_KEPT = 1000

/** What of a range's disk is used: the snapshot's disk under a backup lease, or the disk itself under a restore lease. */
export type DiskSide = 'source' | 'target'

const WORDS = {
  source: { unavailable: 'SOURCE_UNAVAILABLE', used: 'read' },
  target: { unavailable: 'TARGET_UNAVAILABLE', used: 'written' },
} as const

type DiskOfRange = Pick<RangeForWork, 'runId' | 'platformId' | 'leaseId' | 'snapshotId' | 'diskId'>

/** Where the disks under leases can be read, or written. */
export class DiskAddresses {
  readonly #platforms: Platforms
  readonly #side: DiskSide
  readonly #known = new Map<string, { readonly address: DiskAddress; readonly until: number }>()

  constructor(platforms: Platforms, side: DiskSide) {
    this.#platforms = platforms
    this.#side = side
  }

  /** @throws PlatformError LEASE_LOST, ... */
  async of(range: DiskOfRange, signal: AbortSignal): Promise<DiskAddress> {
    const snapshotId = this.#side === 'source' ? range.snapshotId : undefined
    if (range.leaseId === null || snapshotId === null) throw this.#leaseLost(range)
    const key = keyOf(range)
    const known = this.#known.get(key)
    if (known !== undefined && known.until > performance.now()) return known.address
    const platform = await this.#platforms.get(range.platformId)
    const address = await platform.diskAddress(range.leaseId, range.diskId, snapshotId, signal)
    if (this.#known.size >= MOST_KEPT) this.#known.clear()
    this.#known.set(key, { address, until: performance.now() + FRESH_MS })
    return address
  }

  /**
   * Why the work failed, said better: a server that knows no such export, or hangs up, mostly means that the lease is gone.
   *
   * @returns the error to go on with
   */
  async explain(error: unknown, range: DiskOfRange, signal: AbortSignal): Promise<unknown> {
    this.#known.delete(keyOf(range))
    if (!hasCode(error, 'NBD_EXPORT_UNKNOWN', 'NBD_REFUSED', 'NBD_CLOSED', 'NBD_UNREACHABLE') || signal.aborted) return error
    if (range.leaseId === null) return this.#leaseLost(range)
    try {
      const platform = await this.#platforms.get(range.platformId)
      const { status } = await platform.getLease(range.leaseId, signal)
      if (status !== 'running' && status !== 'pending') return this.#leaseLost(range)
    } catch (failure) {
      if (hasCode(failure, 'LEASE_LOST')) return failure
      // The platform does not answer either: what was seen first is news enough.
      return error
    }
    if (error.retryable) return error
    const { unavailable, used } = WORDS[this.#side]
    const what = `disk ${range.diskId} cannot be ${used} at the moment: ${error.message}`
    return new RangeWorkerError(unavailable, what, {}, { cause: error })
  }

  #leaseLost({ runId, diskId }: DiskOfRange): PlatformError {
    const what = `the lease of the run is gone; disk ${diskId} cannot be ${WORDS[this.#side].used}`
    return new PlatformError('LEASE_LOST', what, { runId, diskId })
  }
}

function keyOf({ leaseId, diskId, snapshotId }: DiskOfRange): string {
  return JSON.stringify([leaseId, diskId, snapshotId])
}
