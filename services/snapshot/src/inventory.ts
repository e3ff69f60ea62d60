import type { Catalog, SeenVm } from '@varve/catalog-client'
import type { PlatformDriver, PlatformVm } from '@varve/platform'
import type { Platforms } from '@varve/range-worker'
import { type Logger, sleep } from '@varve/runtime'

interface Deps {
  readonly catalog: Catalog
  readonly platforms: Platforms
  readonly log: Logger
}

/** Tell the catalog what VMs each platform has, every `everySeconds`, until the signal aborts. */
export async function syncInventory(deps: Deps, everySeconds: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await inventoryRound(deps, signal).catch(error => {
      if (!signal.aborted) deps.log.warn({ err: error }, 'platforms could not be listed')
    })
    await sleep(everySeconds * 1000, signal).catch(() => {})
  }
}

/** Read every platform once, side by side; one that does not answer keeps its last list. */
export async function inventoryRound({ catalog, platforms, log }: Deps, signal: AbortSignal): Promise<void> {
  const read = async (platformId: string): Promise<void> => {
    try {
      const vms = await seenVms(await platforms.get(platformId), signal)
      await catalog.reportVms(platformId, vms)
      log.debug({ platformId, vms: vms.length }, 'platform read')
    } catch (error) {
      if (!signal.aborted) log.warn({ platformId, err: error }, 'platform could not be read')
    }
  }
  await Promise.all((await catalog.listPlatforms()).map(({ id }) => read(id)))
}

/** A platform that lists without end is cut here; the largest published clusters have a tenth of it. */
const MOST_VMS = 100_000

async function seenVms(platform: PlatformDriver, signal: AbortSignal): Promise<SeenVm[]> {
  const seen: SeenVm[] = []
  for await (const vm of platform.listVms(signal)) {
    seen.push(seenVm(vm))
    if (seen.length === MOST_VMS) break
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
    disks: disks.map(({ id, size, datastoreId, excluded }) => ({
      diskId: id,
      size,
      ...(datastoreId === '' ? {} : { datastoreId }),
      ...(excluded === undefined ? {} : { excluded }),
    })),
  }
}
