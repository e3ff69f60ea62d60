import type { RangeForWork } from '@varve/catalog-client'
import { type DiskAddress, PlatformError } from '@varve/platform'
import { BlockWriterError, hasCode } from './errors.ts'
import type { Platforms } from './platforms.ts'

/** An address may be used this long without asking the platform again. */
const FRESH_MS = 60_000
const MOST_KEPT = 1000

/** Where the disks under restore leases can be written. */
export class DiskTargets {
  readonly #platforms: Platforms
  readonly #known = new Map<string, { readonly address: DiskAddress; readonly until: number }>()

  constructor(platforms: Platforms) {
    this.#platforms = platforms
  }

  /** @throws PlatformError LEASE_LOST, ... */
  async addressOf(range: RangeForWork, signal: AbortSignal): Promise<DiskAddress> {
    if (range.leaseId === null) throw leaseLost(range)
    const key = keyOf(range)
    const known = this.#known.get(key)
    if (known !== undefined && known.until > performance.now()) return known.address
    const platform = await this.#platforms.get(range.platformId)
    const address = await platform.diskAddress(range.leaseId, range.diskId, undefined, signal)
    if (this.#known.size >= MOST_KEPT) this.#known.clear()
    this.#known.set(key, { address, until: performance.now() + FRESH_MS })
    return address
  }

  /**
   * Why writing failed, said better: a server that knows no such export, or hangs up, mostly means that the lease is gone.
   *
   * @returns the error to go on with
   */
  async explain(error: unknown, range: RangeForWork, signal: AbortSignal): Promise<unknown> {
    this.#known.delete(keyOf(range))
    if (!hasCode(error, 'NBD_EXPORT_UNKNOWN', 'NBD_REFUSED', 'NBD_CLOSED', 'NBD_UNREACHABLE') || signal.aborted) return error
    if (range.leaseId === null) return leaseLost(range)
    try {
      const platform = await this.#platforms.get(range.platformId)
      const { status } = await platform.getLease(range.leaseId, signal)
      if (status !== 'running' && status !== 'pending') return leaseLost(range)
    } catch (failure) {
      if (hasCode(failure, 'LEASE_LOST')) return failure
      // The platform does not answer either: what was seen first is news enough.
      return error
    }
    if (error.retryable) return error
    return new BlockWriterError(
      'TARGET_UNAVAILABLE',
      `disk ${range.diskId} cannot be written at the moment: ${error.message}`,
      {},
      { cause: error },
    )
  }
}

function keyOf({ leaseId, diskId }: RangeForWork): string {
  return JSON.stringify([leaseId, diskId])
}

function leaseLost({ runId, diskId }: RangeForWork): PlatformError {
  return new PlatformError('LEASE_LOST', `the lease of the run is gone; disk ${diskId} cannot be written`, { runId, diskId })
}
