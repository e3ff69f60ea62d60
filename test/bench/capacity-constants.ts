import { MiB, TiB } from '@varve/runtime'

/*
 * All that the capacity formula does not work out itself, by where it comes from. To renew: run the command on a quiet machine, read the row or target that is named, edit it here,
 * then `npm run bench -- --capacity --write` and `npx vitest run test/bench/capacity`.
 */

/** `npm run bench -- --only full` */
const FULL = {
  /** Bytes a second of disk that one core receives, hashes, compresses and sends. Row `full to s3: varve`: bytes read / CPU s. */
  coreRate: 248 * MiB,
  /** Stored for each byte read, of half-compressible data: the same row. */
  storedShare: 0.55,
  /** Target `objects for each TiB stored`. */
  putsPerByte: 56_500 / TiB,
}

/** `npm run bench -- --only incremental` */
const INCREMENTAL = {
  /** For each changed byte, changes being pieces of 64 KiB: targets `incremental: read for each changed byte`, `… stored …`. */
  readPerChanged: 2.34,
  storedPerChanged: 1.34,
  /** Seconds of a backup around its ranges. Row `incremental to directory: varve`: wall s. */
  runSeconds: 0.75,
}

/** `npm run scale -- --only night` */
const NIGHT = {
  /** Ranges a second that one core of catalog and Postgres carries. `processor seconds for 1000 ranges`: 1000 / (postgres + catalog). */
  rangeRate: 261,
  /** Jobs a second that one core of Redis carries: 1000 / redis of the same row. */
  jobRate: 4545,
  /** Bytes of Redis with nothing waiting. `memory of Redis, at most` less `jobBytes` for each of `jobs in the queue of ranges, at most`. */
  redisBytes: 2.36e6,
  /** Bytes of a job that waits: (INFO memory with 2000 jobs - without) / 2000. */
  jobBytes: 1300,
  /** Bytes of Postgres for each range of the night before it is compacted. `The morning after`: bytes a range before. */
  nightRangeBytes: 2188,
}

/** `npm run scale -- --only year`: bytes of Postgres for each restore point kept, and for each of its ranges, compacted. */
const YEAR = { pointBytes: 2571, rangeBytes: 12 }

export const MEASURED = { ...FULL, ...INCREMENTAL, ...NIGHT, ...YEAR }

/**
 * `npm run bench -- --only scaling`: runs that the formula is held against; wall s of its four rows.
 */
export const SCALING = {
  /** `full to directory, 1 reader on 1 core` and what it read (wall s x MiB/s). The platform's server shares the core, so this is less than `coreRate`. */
  oneCore: { seconds: 8.16, read: 1907 * MiB },
  /** `full to directory, 2 readers on 2 cores`. */
  twoCores: { seconds: 4.81, read: 1907 * MiB },
  /** `full over connections of 8 MiB/s, 1 reader`, and `8 readers` with a disk each. */
  limited: [
    { disks: 1, seconds: 16.2 },
    { disks: 8, seconds: 16.98 },
  ],
  /** `sizeEach` there, without `--quick`. */
  limitedDisk: 128 * MiB,
  limitedRate: 8 * MiB,
}

/** Counted in the requests that the reference platform got for an incremental of two disks, each answered at once: 20 GETs and 4 others. */
export const REQUESTS = {
  /** GETs of a backup: VM, tracking, snapshots, lease, and polls of its four tasks. */
  getsPerBackup: 16,
  /** And for each of its disks: changed areas. A reader asks for a disk's address once a minute, beside that. */
  getsPerDisk: 1,
  /** Snapshot and lease, made and taken away. */
  othersPerBackup: 4,
  /** A renewal is a PUT and a look at its task. */
  getsPerRenewal: 1,
  vmsPerPage: 100,
}

/** Varve's own defaults. */
export const SETTINGS = {
  /** VARVE_LEASE_RENEW_SECONDS, its default and the most that it can be; VARVE_INVENTORY_SECONDS. Of one snapshot service: each further one asks as often again. */
  renewSeconds: 20,
  renewSecondsMost: 60,
  inventorySeconds: 60,
  /** VARVE_QUEUE_WINDOW */
  queueWindow: 256,
}

/** What the platform allows by default (rates in its own words Mbit/s) and what stores promise. Runs: the default of `varve platform limits`. */
export const ALLOWED = {
  runs: 32,
  /** Agentless tasks, and opened disks, of a host; opened disks of a datastore. */
  runsPerHost: 16,
  disksPerHost: 16,
  disksPerDatastore: 10,
  /** 800 Mbit/s of each connection to a disk, and of each host. */
  connectionRate: 100e6,
  hostRate: 100e6,
  /** Bytes a second at which a deleted snapshot is merged; whether of each or of a host is not said: here of a host. */
  mergeRate: 80 * MiB,
  /** Requests a second to its API. No official figure is public: 600 GETs and 100 others a minute, as a client library says. */
  getRate: 600 / 60,
  otherRate: 100 / 60,
  /** A bucket's prefix takes 3500 PUTs a second; ours are spread over many. */
  putRate: 3500,
}

/** At most, to read in one range. */
export const RANGE = 256 * MiB

export type Measured = Readonly<typeof MEASURED>
export type Allowed = Readonly<typeof ALLOWED>
