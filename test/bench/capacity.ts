import { GiB } from '@varve/runtime'
import { ALLOWED, type Allowed, MEASURED, type Measured, RANGE, SCALING, SETTINGS } from './capacity-constants.ts'
import { requestSeconds } from './platform-requests.ts'

/**
 * How long a night takes, and what it waits for: each resource by itself would take so many hours, and the longest of them is the night.
 *
 *     reader cores   read / (cores x coreRate)
 *     connections    read / (disks open at a time x connectionRate)       open: lanes, or what runs, hosts and datastores allow
 *     hosts          read / (hosts x hostRate)
 *     store          stored / storeRate;  puts / putRate
 *     catalog        ranges / rangeRate                                   Postgres and the processes around it
 *     Redis          jobs / jobRate                                       a job a range and three a backup
 *     fixed costs    backups x runSeconds / runs at a time                snapshot, plan, seal
 *     requests       of all backups / (rate - renewals and lists)         platform-requests.ts
 *     merges         written while snapshots live / (hosts x mergeRate)
 *
 * The last backup's own fixed cost and merge come after everything.
 */
export interface Estate {
  readonly vms: number
  readonly disksPerVm: number
  /** Bytes that hold something, of all. */
  readonly data: number
  /** Part of `data` that is written to in a day. */
  readonly written: number
  /** Part of `data` that is written to between two backups; 1: a full. */
  readonly changed: number
  readonly hosts: number
  readonly datastores: number
  readonly readerCores: number
  /** Processes on them. */
  readonly readers: number
  /** Ranges at the same time, each over a connection of its own: three a core keep it busy where one connection does not. */
  readonly lanes: number
  /** Bytes a second that the way to the store carries. */
  readonly storeRate: number
  /** Seconds between two renewals of a run's lease. */
  readonly renewSeconds: number
  /** Restore points kept of each VM. */
  readonly kept: number
}

export interface Night {
  readonly read: number
  readonly stored: number
  readonly ranges: number
  readonly puts: number
  /** Backups under way at a time, and whether more would be slower. */
  readonly runs: number
  readonly fewer: boolean
  /** Disks that are read at a time. */
  readonly open: number
  /** The whole night. */
  readonly seconds: number
  /** Seconds by resource, the longest first. */
  readonly needs: readonly { readonly resource: string; readonly seconds: number }[]
  /** Seconds that the snapshot of one VM is merged for afterwards. */
  readonly mergeSeconds: number
  /** Bytes of Postgres: all points kept, and this night until it is compacted. */
  readonly catalogBytes: number
  /** Bytes of Redis: the window, and a job of each run. */
  readonly redisBytes: number
}

/** Jobs of a backup beside its ranges: prepare, seal, finish. */
const JOBS_PER_BACKUP = 3
const DAY = 86_400

/** Told that it asks for too much, Varve halves the runs at a time, whose leases are then fewer to renew: as often as that helps. */
export function night(estate: Estate, measured: Measured = MEASURED, allowed: Allowed = ALLOWED): Night {
  let best = nightOf(estate, measured, allowed)
  while (best.needs[0]!.resource === 'API requests' && best.runs > 1) {
    const fewer = nightOf(estate, measured, { ...allowed, runs: Math.floor(best.runs / 2) })
    // With more leases than can be renewed neither ends.
    if (fewer.seconds >= best.seconds && Number.isFinite(best.seconds)) break
    best = { ...fewer, fewer: true }
  }
  return best
}

function nightOf(estate: Estate, measured: Measured, allowed: Allowed): Night {
  const { vms, disksPerVm, data, changed, hosts, datastores, readerCores, readers, lanes, storeRate, renewSeconds, kept } = estate
  const disks = vms * disksPerVm
  const full = changed === 1
  const read = full ? data : Math.min(data, data * changed * measured.readPerChanged)
  const stored = full ? data * measured.storedShare : Math.min(data, data * changed * measured.storedPerChanged)
  // Each disk has one at least.
  const rangesPerDisk = Math.ceil(read / disks / RANGE)
  const ranges = disks * rangesPerDisk
  const puts = Math.ceil(stored * measured.putsPerByte)
  // A run is let in while its datastores have room for its disks; one alone may have more.
  const roomInDatastores = Math.max(1, Math.floor((datastores * allowed.disksPerDatastore) / disksPerVm))
  const runs = Math.min(vms, allowed.runs, hosts * allowed.runsPerHost, roomInDatastores)
  const open = Math.min(runs * disksPerVm, lanes, hosts * allowed.disksPerHost, datastores * allowed.disksPerDatastore)
  const copying = [
    { resource: 'reader cores', seconds: read / (readerCores * measured.coreRate) },
    { resource: 'connections to disks', seconds: read / (open * allowed.connectionRate) },
    { resource: 'hosts', seconds: read / (hosts * allowed.hostRate) },
    { resource: 'way to the store', seconds: stored / storeRate },
    { resource: 'PUTs', seconds: puts / allowed.putRate },
    { resource: 'catalog and Postgres', seconds: ranges / measured.rangeRate },
    { resource: 'Redis', seconds: (ranges + vms * JOBS_PER_BACKUP) / measured.jobRate },
    { resource: 'fixed costs of backups', seconds: (vms * measured.runSeconds) / runs },
  ]
  const copySeconds = (Math.max(...copying.map(({ seconds }) => seconds)) * runs) / vms
  const requests = requestSeconds({ vms, disksPerVm, rangesPerDisk, readers, runs, renewSeconds, copySeconds }, allowed)
  // Its snapshot lives as long as a run does, whatever that waits for.
  const lives = Math.max(copySeconds, (requests * runs) / vms)
  const merged = ((data * estate.written) / vms / DAY) * lives
  const needs = [
    ...copying,
    { resource: 'API requests', seconds: requests },
    { resource: 'merges', seconds: (merged * vms) / (Math.min(runs, hosts) * allowed.mergeRate) },
  ].sort((a, b) => b.seconds - a.seconds)
  const mergeSeconds = merged / allowed.mergeRate
  return {
    read,
    stored,
    ranges,
    puts,
    runs,
    fewer: false,
    open,
    seconds: needs[0]!.seconds + measured.runSeconds + mergeSeconds,
    needs,
    mergeSeconds,
    catalogBytes: vms * kept * measured.pointBytes + ranges * (kept * measured.rangeBytes + measured.nightRangeBytes),
    redisBytes: measured.redisBytes + (Math.min(ranges, SETTINGS.queueWindow) + runs) * measured.jobBytes,
  }
}

const TEN_GIGABIT = 1.25e9
/** A process with three lanes for each of so many cores. */
const CORES_OF_A_READER = 8

/** Nights that the page tells of: of a day in which 3 % was written to; and of a first full. */
export const ESTATES: Readonly<Record<string, Estate>> = {
  '100 VMs': estate({ vms: 100, data: 100 * 100 * GiB, hosts: 4, datastores: 2, readerCores: 2, storeRate: TEN_GIGABIT }),
  '10,000 VMs': estate({ vms: 10_000, data: 10_000 * 100 * GiB, hosts: 200, datastores: 50, readerCores: 16, storeRate: 4 * TEN_GIGABIT }),
  '1 PB in 2,000 VMs': estate({ vms: 2000, data: 1e15, hosts: 100, datastores: 50, readerCores: 32, storeRate: 4 * TEN_GIGABIT }),
}

function estate(rest: Pick<Estate, 'vms' | 'data' | 'hosts' | 'datastores' | 'readerCores' | 'storeRate'>): Estate {
  return {
    disksPerVm: 2,
    lanes: 3 * rest.readerCores,
    readers: Math.ceil(rest.readerCores / CORES_OF_A_READER),
    written: 0.03,
    changed: 0.03,
    renewSeconds: SETTINGS.renewSeconds,
    kept: 90,
    ...rest,
  }
}

export interface Point {
  readonly name: string
  readonly estate: Estate
  readonly measured: Measured
  readonly allowed: Allowed
  /** What it really took. */
  readonly seconds: number
}

/** Nights that were really run, for checking the formula. */
export const POINTS: readonly Point[] = [
  ...SCALING.limited.map(({ disks, seconds }) => ({
    name: `${disks} over limited connections`,
    estate: oneVm(disks, disks * SCALING.limitedDisk, disks),
    measured: MEASURED,
    allowed: { ...ALLOWED, connectionRate: SCALING.limitedRate },
    seconds,
  })),
  {
    name: '2 readers on 2 cores, from 1 on 1',
    estate: oneVm(1, SCALING.twoCores.read, 2),
    measured: { ...MEASURED, coreRate: SCALING.oneCore.read / (SCALING.oneCore.seconds - MEASURED.runSeconds) },
    // Nothing limits the connections of that run, and a reader has one for each range.
    allowed: { ...ALLOWED, connectionRate: Number.POSITIVE_INFINITY, hostRate: Number.POSITIVE_INFINITY },
    seconds: SCALING.twoCores.seconds,
  },
]

/** A full of one VM on a machine of two cores. */
function oneVm(disks: number, data: number, lanes: number): Estate {
  const machine = { hosts: 1, datastores: 1, readerCores: 2, storeRate: TEN_GIGABIT }
  return { ...estate({ ...machine, vms: 1, data }), disksPerVm: disks, written: 0, changed: 1, lanes }
}
