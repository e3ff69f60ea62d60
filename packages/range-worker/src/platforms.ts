import type { Catalog } from '@varve/catalog-client'
import type { PlatformConnection, PlatformDriver } from '@varve/platform'

export type OpenPlatform = (connection: PlatformConnection) => PlatformDriver | Promise<PlatformDriver>

/** The platform drivers of this process, opened at the first use with the catalog's credentials, one for each platform. */
export class Platforms {
  readonly #catalog: Catalog
  readonly #open: OpenPlatform
  readonly #drivers = new Map<string, Promise<PlatformDriver>>()

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
    return this.#open({ id, kind, url, credentials, transport })
  }

  async close(): Promise<void> {
    const drivers = await Promise.allSettled(this.#drivers.values())
    this.#drivers.clear()
    await Promise.all(drivers.map(result => (result.status === 'fulfilled' ? result.value.close() : undefined)))
  }
}
