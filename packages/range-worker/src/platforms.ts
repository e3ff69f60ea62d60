import type { Catalog, PressureReason } from '@varve/catalog-client'
import type { PlatformConnection, PlatformDriver, PlatformOptions } from '@varve/platform'

/** `options`: what the caller wants to hear of. */
export type OpenPlatform = (
  connection: PlatformConnection,
  options?: Pick<PlatformOptions, 'onPressure'>,
) => PlatformDriver | Promise<PlatformDriver>

/** One report of pressure in this time, ms: the catalog counts no more, whoever reports. */
const REPORT_MS = 5000

/** The platform drivers of this process, opened at the first use with the catalog's credentials, one for each platform. */
export class Platforms {
  readonly #catalog: Catalog
  readonly #open: OpenPlatform
  readonly #drivers = new Map<string, Promise<PlatformDriver>>()
  readonly #reported = new Map<string, number>()

  constructor(catalog: Catalog, open: OpenPlatform) {
    this.#catalog = catalog
    this.#open = open
  }

  get(platformId: string): Promise<PlatformDriver> {
    let driver = this.#drivers.get(platformId)
    if (driver === undefined) {
      driver = this.#connect(platformId)
      this.#drivers.set(platformId, driver)
      // One failure is not for ever: the next caller tries again.
      driver.catch(() => this.#drivers.delete(platformId))
    }
    return driver
  }

  async #connect(platformId: string): Promise<PlatformDriver> {
    const { id, kind, url, credentials, transport } = await this.#catalog.getPlatform(platformId)
    return this.#open({ id, kind, url, credentials, transport }, { onPressure: reason => this.#report(platformId, reason) })
  }

  /** A report that does not arrive is made good by the next one, as long as there is reason for it. */
  #report(platformId: string, reason: PressureReason): void {
    const now = performance.now()
    if (now - (this.#reported.get(platformId) ?? Number.NEGATIVE_INFINITY) < REPORT_MS) return
    this.#reported.set(platformId, now)
    this.#catalog.reportPressure(platformId, reason).catch(() => {})
  }

  async close(): Promise<void> {
    const drivers = await Promise.allSettled(this.#drivers.values())
    this.#drivers.clear()
    await Promise.all(drivers.map(result => (result.status === 'fulfilled' ? result.value.close() : undefined)))
  }
}
