import type { DispatchInput, DispatchLimits, RunUnderWay, WaitingRun } from './dispatch-plan.ts'

/** How much of each platform, host and datastore is in use. Hosts and datastores are named by the platform, so its id is part of the key. */
export class Usage {
  readonly #runs = new Map<string, number>()
  readonly #runsOnHost = new Map<string, number>()
  /** Disks of runs under way that are not done, or not even planned: each will be open for a time. */
  readonly #disksOnDatastore = new Map<string, number>()
  /** Disks with ranges in the queue. */
  readonly #openOnHost = new Map<string, number>()
  readonly #openOnDatastore = new Map<string, number>()

  static of({ runs }: Pick<DispatchInput, 'runs'>): Usage {
    const usage = new Usage()
    for (const run of runs) usage.#count(run)
    return usage
  }

  #count(run: RunUnderWay): void {
    this.addRun(run)
    for (const image of run.images) {
      if (image.datastoreId !== null) add(this.#disksOnDatastore, placeKey(run.platformId, image.datastoreId))
      if (image.queued > 0) this.openDisk(run, image.datastoreId)
    }
  }

  addRun(run: Pick<WaitingRun, 'platformId' | 'hostId' | 'disks'>): void {
    add(this.#runs, run.platformId)
    if (run.hostId !== null) add(this.#runsOnHost, placeKey(run.platformId, run.hostId))
    for (const [datastoreId, disks] of Object.entries(run.disks)) add(this.#disksOnDatastore, placeKey(run.platformId, datastoreId), disks)
  }

  openDisk({ platformId, hostId }: Pick<RunUnderWay, 'platformId' | 'hostId'>, datastoreId: string | null): void {
    if (hostId !== null) add(this.#openOnHost, placeKey(platformId, hostId))
    if (datastoreId !== null) add(this.#openOnDatastore, placeKey(platformId, datastoreId))
  }

  /** Runs that still fit on the platform. */
  roomFor(platformId: string, limits: DispatchLimits): number {
    return Math.max(0, limits.runs - (this.#runs.get(platformId) ?? 0))
  }

  isHostFull(platformId: string, hostId: string | null, limits: DispatchLimits): boolean {
    return hostId !== null && (this.#runsOnHost.get(placeKey(platformId, hostId)) ?? 0) >= limits.runsPerHost
  }

  /** Would another run's disks on it only wait? One run may exceed the limit: of its disks only so many are open at a time. */
  isDatastoreFull(platformId: string, datastoreId: string, limits: DispatchLimits): boolean {
    return (this.#disksOnDatastore.get(placeKey(platformId, datastoreId)) ?? 0) >= limits.openDisksPerDatastore
  }

  mayOpenDisk(
    { platformId, hostId }: Pick<RunUnderWay, 'platformId' | 'hostId'>,
    datastoreId: string | null,
    limits: DispatchLimits,
  ): boolean {
    if (hostId !== null && (this.#openOnHost.get(placeKey(platformId, hostId)) ?? 0) >= limits.openDisksPerHost) return false
    return datastoreId === null || (this.#openOnDatastore.get(placeKey(platformId, datastoreId)) ?? 0) < limits.openDisksPerDatastore
  }

  /** Keys of what takes no further run now, so that those are not even looked at. */
  full(limits: DispatchInput['limits']): { readonly hosts: string[]; readonly datastores: string[] } {
    const over = (counts: ReadonlyMap<string, number>, limit: 'runsPerHost' | 'openDisksPerDatastore'): string[] =>
      [...counts].filter(([key, count]) => count >= (limits.get(platformOf(key))?.[limit] ?? 0)).map(([key]) => key)
    return { hosts: over(this.#runsOnHost, 'runsPerHost'), datastores: over(this.#disksOnDatastore, 'openDisksPerDatastore') }
  }
}

/** Ids of platforms have no slash. */
export function placeKey(platformId: string, place: string): string {
  return `${platformId}/${place}`
}

function platformOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}

function add(counts: Map<string, number>, key: string, more = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + more)
}
