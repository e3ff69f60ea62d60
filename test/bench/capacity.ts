import { GiB, MiB, TiB } from '@varve/runtime'

/**
 * How long a night takes, and what it waits for: each resource by itself would take so many hours, and the longest of them is the night.
 *
 *     reader cores   read / (cores x coreRate)
 *     connections    read / (disks open at a time x connectionRate)       open: lanes, or what hosts and datastores allow
 *     hosts          read / (hosts x hostRate)
 *     store          stored / storeRate;  puts / putRate
 *     catalog        ranges / rangeRate                                   Postgres and the processes around it
 *     fixed costs    backups x runSeconds / runs at a time                snapshot, plan, seal
 *
 * The last backup's own fixed cost comes after everything.
 */

/** What one installation is measured to do. Replace them by those of a quiet machine; each says which subject of `npm run bench` or `npm run scale` tells it. */
export const MEASURED = {
  /** Bytes a second of disk that one core receives, hashes, compresses and sends: `full to s3: varve`, its processor seconds. */
  coreRate: 160 * MiB,
  /** Stored for each byte read in a full of half-compressible data: the same. */
  storedShare: 0.57,
  /** Read and stored for each changed byte, changes being pieces of 64 KiB: `incremental to s3: varve`. */
  readPerChanged: 2.34,
  storedPerChanged: 1.34,
  /** PUTs for each byte stored: `objects for each TiB stored`. */
  putsPerByte: 51_600 / TiB,
  /** Seconds of a backup around its ranges: `incremental to directory: varve`. */
  runSeconds: 0.8,
  /** Ranges a second that one core of catalog, Postgres and queue carries, by their processor seconds: `npm run scale -- --only night`. */
  rangeRate: 140,
  /** Bytes of Postgres for each restore point kept, with its ranges, compacted; and for each range of the night before it is (docs/scale.md). */
  pointBytes: 1950,
  rangeBytes: 12,
  nightRangeBytes: 2500,
} as const

/** What the platform allows by default (Mbit/s in its own words), and what stores promise. */
export const ALLOWED = {
  /** 800 Mbit/s of each connection to a disk, and of each host. */
  connectionRate: 100e6,
  hostRate: 100e6,
  disksPerHost: 16,
  disksPerDatastore: 10,
  /** A bucket's prefix takes 3500 PUTs a second; ours are spread over many. */
  putRate: 3500,
  /** Runs at a time, of a platform. */
  runs: 32,
} as const

export type Measured = Readonly<Record<keyof typeof MEASURED, number>>
export type Allowed = Readonly<Record<keyof typeof ALLOWED, number>>

export interface Estate {
  readonly vms: number
  readonly disksPerVm: number
  /** Bytes that hold something, of all. */
  readonly data: number
  /** Part of `data` that is written to between two backups; 1: a full. */
  readonly changed: number
  readonly hosts: number
  readonly datastores: number
  readonly readerCores: number
  /** Ranges at the same time, each over a connection of its own: two a core keep it busy where one connection does not. */
  readonly lanes: number
  /** Bytes a second that the way to the store carries. */
  readonly storeRate: number
  /** Restore points kept of each VM. */
  readonly kept: number
}

export interface Night {
  readonly read: number
  readonly stored: number
  readonly ranges: number
  readonly puts: number
  /** Seconds by resource, the longest first. */
  /** The whole night. */
  readonly seconds: number
  readonly needs: readonly { readonly resource: string; readonly seconds: number }[]
  /** Bytes of Postgres: all points kept, and this night until it is compacted. */
  readonly catalogBytes: number
}

/** At most, to read in one range. */
export const RANGE = 256 * MiB

export function night(estate: Estate, measured: Measured = MEASURED, allowed: Allowed = ALLOWED): Night {
  const { vms, disksPerVm, data, changed, hosts, datastores, readerCores, lanes, storeRate, kept } = estate
  const disks = vms * disksPerVm
  const full = changed === 1
  const read = full ? data : Math.min(data, data * changed * measured.readPerChanged)
  const stored = full ? data * measured.storedShare : Math.min(data, data * changed * measured.storedPerChanged)
  // Each disk has one at least.
  const ranges = disks * Math.ceil(read / disks / RANGE)
  const puts = Math.ceil(stored * measured.putsPerByte)
  const open = Math.min(disks, lanes, hosts * allowed.disksPerHost, datastores * allowed.disksPerDatastore)
  const needs = [
    { resource: 'reader cores', seconds: read / (readerCores * measured.coreRate) },
    { resource: 'connections to disks', seconds: read / (open * allowed.connectionRate) },
    { resource: 'hosts', seconds: read / (hosts * allowed.hostRate) },
    { resource: 'way to the store', seconds: stored / storeRate },
    { resource: 'PUTs', seconds: puts / allowed.putRate },
    { resource: 'catalog and Postgres', seconds: ranges / measured.rangeRate },
    { resource: 'fixed costs of backups', seconds: (vms * measured.runSeconds) / Math.min(vms, allowed.runs) },
  ].sort((a, b) => b.seconds - a.seconds)
  const catalogBytes = vms * kept * measured.pointBytes + ranges * (kept * measured.rangeBytes + measured.nightRangeBytes)
  return { read, stored, ranges, puts, seconds: needs[0]!.seconds + measured.runSeconds, needs, catalogBytes }
}

const TEN_GIGABIT = 1.25e9

/** Nights that the page tells of: 3 % written to since the last one, and the first full. */
export const ESTATES: Readonly<Record<string, Estate>> = {
  '100 VMs': estate({ vms: 100, data: 100 * 100 * GiB, hosts: 4, datastores: 2, readerCores: 2, storeRate: TEN_GIGABIT }),
  '10,000 VMs': estate({ vms: 10_000, data: 10_000 * 100 * GiB, hosts: 200, datastores: 50, readerCores: 16, storeRate: 4 * TEN_GIGABIT }),
  '1 PB in 2,000 VMs': estate({ vms: 2000, data: 1e15, hosts: 100, datastores: 50, readerCores: 32, storeRate: 4 * TEN_GIGABIT }),
}

function estate(rest: Pick<Estate, 'vms' | 'data' | 'hosts' | 'datastores' | 'readerCores' | 'storeRate'>): Estate {
  return { disksPerVm: 2, lanes: 2 * rest.readerCores, changed: 0.03, kept: 90, ...rest }
}

/** Nights that were really run, for checking the formula: `full over connections of 8 MiB/s`, 1 reader and 8, of the subject `scaling`. */
export const POINTS: readonly { readonly estate: Estate; readonly allowed: Allowed; readonly seconds: number }[] = [
  { estate: limited(1), seconds: 17.44 },
  { estate: limited(8), seconds: 19.55 },
].map(point => ({ ...point, allowed: { ...ALLOWED, connectionRate: 8 * MiB } }))

/** One VM on a machine of two cores, each disk of 128 MiB over a connection of its own. */
function limited(disks: number): Estate {
  const machine = { hosts: 1, datastores: 1, readerCores: 2, storeRate: TEN_GIGABIT }
  return { ...estate({ ...machine, vms: 1, data: disks * 128 * MiB }), disksPerVm: disks, changed: 1, lanes: disks }
}
