import type { Catalog, PlatformWithCredentials, SeenVm } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { PlatformConnection, PlatformDriver, PlatformVm } from '@varve/platform'
import type { Logger } from '@varve/runtime'

export type OpenPlatform = (connection: PlatformConnection) => PlatformDriver | Promise<PlatformDriver>

/** What the last reading of a platform's list of VMs gave. */
export interface Reading {
  readonly readAt: string | null
  readonly code: string | null
  readonly message: string | null
}

const NEVER: Reading = { readAt: null, code: null, message: null }

/** A platform that does not answer in this time is told as unreachable rather than left to the browser's patience. */
const PROVE_MS = 15_000
const READ_MS = 60_000
/** More VMs than the largest cluster has; a platform that lists for ever is stopped here. */
const MOST_VMS = 20_000

export interface Inventory {
  /** Prove address and credentials. @throws PlatformError */
  prove(connection: PlatformConnection): Promise<string>
  /** Read the platform's list of VMs into the catalog. Calls at the same time share one reading. @throws PlatformError, CatalogError */
  sync(platformId: string): Promise<{ vms: number; readAt: string }>
  /** Start a reading of each platform whose list is older than allowed; wait for them a moment, never fail. */
  refresh(): Promise<void>
  lastReading(platformId: string): Reading
}

interface Deps {
  readonly catalog: Catalog
  readonly openPlatform: OpenPlatform
  readonly log: Logger
  /** Milliseconds after which a list is read again by `refresh`. */
  readonly maxAge: number
  /** Milliseconds that `refresh` waits at most; a slow platform then shows at the next look. */
  readonly patience: number
  readonly now: () => number
}

export function createInventory({ catalog, openPlatform, log, maxAge, patience, now }: Deps): Inventory {
  const underWay = new Map<string, Promise<{ vms: number; readAt: string }>>()
  const readings = new Map<string, Reading>()
  const tried = new Map<string, number>()

  async function read(platformId: string): Promise<{ vms: number; readAt: string }> {
    tried.set(platformId, now())
    try {
      const platform = await catalog.getPlatform(platformId)
      const vms = await withDriver(openPlatform, platform, driver => seenVms(driver, AbortSignal.timeout(READ_MS)))
      await catalog.reportVms(platformId, vms)
      const readAt = new Date(now()).toISOString()
      readings.set(platformId, { readAt, code: null, message: null })
      log.info({ platformId, vms: vms.length }, 'list of VMs read')
      return { vms: vms.length, readAt }
    } catch (error) {
      const { code, message } = errorReport(error)
      readings.set(platformId, { readAt: readings.get(platformId)?.readAt ?? null, code, message })
      log.warn({ platformId, err: error }, 'reading the list of VMs failed')
      throw error
    }
  }

  function sync(platformId: string): Promise<{ vms: number; readAt: string }> {
    const present = underWay.get(platformId)
    if (present !== undefined) return present
    const reading = read(platformId).finally(() => underWay.delete(platformId))
    underWay.set(platformId, reading)
    return reading
  }

  return {
    sync,
    prove: connection => withDriver(openPlatform, connection, driver => driver.version(AbortSignal.timeout(PROVE_MS))),
    async refresh() {
      const stale = (await catalog.listPlatforms()).filter(({ id }) => now() - (tried.get(id) ?? Number.NEGATIVE_INFINITY) >= maxAge)
      if (stale.length === 0) return
      const readingAll = Promise.allSettled(stale.map(({ id }) => sync(id)))
      let timer: NodeJS.Timeout | undefined
      const enough = new Promise<void>(resolve => {
        timer = setTimeout(resolve, patience)
      })
      await Promise.race([readingAll, enough])
      clearTimeout(timer)
    },
    lastReading: platformId => readings.get(platformId) ?? NEVER,
  }
}

async function withDriver<T>(
  openPlatform: OpenPlatform,
  { id, kind, url, credentials, transport }: PlatformConnection | PlatformWithCredentials,
  use: (driver: PlatformDriver) => Promise<T>,
): Promise<T> {
  const driver = await openPlatform({ id, kind, url, credentials, transport })
  try {
    return await use(driver)
  } finally {
    await driver.close()
  }
}

async function seenVms(driver: PlatformDriver, signal: AbortSignal): Promise<SeenVm[]> {
  const seen: SeenVm[] = []
  for await (const vm of driver.listVms(signal)) {
    seen.push(seenVm(vm))
    if (seen.length >= MOST_VMS) break
  }
  return seen
}

function seenVm({ id, name, power, exclusions, hostId, disks }: PlatformVm): SeenVm {
  return {
    platformVmId: id,
    name,
    power,
    exclusions,
    ...(hostId === undefined ? {} : { hostId }),
    disks: disks.map(({ id: diskId, size, datastoreId, excluded }) => ({
      diskId,
      size,
      ...(datastoreId === '' ? {} : { datastoreId }),
      ...(excluded === undefined ? {} : { excluded }),
    })),
  }
}
