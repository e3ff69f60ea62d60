import type { Extent } from '@varve/cbt'
import type { FullReason, Prediction, Prices } from '@varve/planning'

export type { Prediction, Prices } from '@varve/planning'

/** Times are ISO 8601 text, sizes bytes, ids UUID text unless said otherwise. */

/** A preview plans a backup or a restore, and copies nothing. */
export const RUN_KINDS = ['backup', 'restore', 'preview'] as const
export type RunKind = (typeof RUN_KINDS)[number]

/**
 *     queued -> preparing -> copying -> sealing -> finishing -> succeeded
 *                  |            |          |           |-----> succeeded-with-damage   (restores)
 *                  '------------'----------'---------> |-----> failed | cancelled
 *
 * `finishing` carries the outcome already; only the clean-up (lease, snapshot) is left. Restores skip `sealing`, previews `copying` too.
 */
export const RUN_STATES = [
  'queued',
  'preparing',
  'copying',
  'sealing',
  'finishing',
  'succeeded',
  'succeeded-with-damage',
  'failed',
  'cancelled',
] as const
export type RunState = (typeof RUN_STATES)[number]
export const ENDED_STATES: readonly RunState[] = ['succeeded', 'succeeded-with-damage', 'failed', 'cancelled']
export type Outcome = 'succeeded' | 'succeeded-with-damage' | 'failed' | 'cancelled'

/** The jobs of a run, in order; also the queue names. */
export type RunStep =
  | 'prepare-backup'
  | 'read-range'
  | 'seal-restore-point'
  | 'prepare-restore'
  | 'write-range'
  | 'finish-run'
  | 'prepare-preview'

/** Which of several runs that wait goes first; within one priority VMs take turns. */
export const PRIORITIES = ['low', 'normal', 'high'] as const
export type Priority = (typeof PRIORITIES)[number]

/** How much of a platform is used at the same time, over all workers. */
export interface PlatformLimits {
  /** Runs under way. */
  readonly runs: number
  readonly runsPerHost: number
  /** Disks that are read or written. */
  readonly openDisksPerHost: number
  readonly openDisksPerDatastore: number
  /** Of one connection to a disk; null: as fast as it goes. */
  readonly bytesPerSecond: number | null
}

/** What any platform can be told to bear; the upper ends only keep typing errors out. */
export const LIMIT_RANGES = {
  runs: { minimum: 1, maximum: 10_000 },
  runsPerHost: { minimum: 1, maximum: 10_000 },
  openDisksPerHost: { minimum: 1, maximum: 10_000 },
  openDisksPerDatastore: { minimum: 1, maximum: 10_000 },
  /** Below this, a single read of 2 MiB would take so long that its range counts as stalled. */
  bytesPerSecond: { minimum: 1024 * 1024, maximum: 1024 ** 4 },
} as const satisfies Record<keyof PlatformLimits, { minimum: number; maximum: number }>

export const PRESSURE_REASONS = ['throttled', 'slow'] as const
/** `throttled`: it answered that there are too many calls. `slow`: it took long for one. */
export type PressureReason = (typeof PRESSURE_REASONS)[number]
export const PRESSURE_MAX = 6

/** That a platform has too much to do, as its answers tell. Limits are halved `level` times; each minute without such an answer takes one off. */
export interface PlatformPressure {
  /** 0..PRESSURE_MAX. */
  readonly level: number
  /** The last answer that counted, while the level is above 0. */
  readonly reason: PressureReason | null
  readonly at: string | null
}

export interface Platform {
  readonly id: string
  readonly name: string
  readonly kind: 'scp'
  readonly url: string
  /** How disk data travels: NBD in plain text or over TLS. Absent: TLS where the platform offers it. */
  readonly transport?: 'nbd' | 'nbd_ssl' | undefined
  readonly createdAt: string
  /** As set, defaults filled in, before any pressure. */
  readonly limits: PlatformLimits
  readonly pressure: PlatformPressure
}
/** Internal only: never leaves through the public API. */
export interface PlatformWithCredentials extends Platform {
  readonly credentials:
    | { readonly username: string; readonly password: string }
    | { readonly accessKey: string; readonly secretKey: string }
}

export type NewPlatform = Omit<PlatformWithCredentials, 'id' | 'createdAt' | 'limits' | 'pressure'>

export interface Vm {
  readonly id: string
  readonly platformId: string
  /** The platform's id of it. */
  readonly platformVmId: string
  readonly name: string
  readonly power: string
  readonly exclusions: readonly string[]
  readonly disks: readonly { readonly diskId: string; readonly size: number; readonly excluded?: string }[]
  readonly seenAt: string
  /** Newest sealed restore point, null when there is none. */
  readonly lastPoint: { readonly id: string; readonly createdAt: string } | null
  readonly points: number
  /** Its platform does not list it any more; its points remain. */
  readonly gone?: boolean
}

export interface BackupOptions {
  /** Full even where an incremental is possible (reason `requested`). */
  readonly full?: boolean
  /** Turn CBT on for disks that have it off (default true). */
  readonly enableCbt?: boolean
  /** Default normal. */
  readonly priority?: Priority
}

export interface RestoreOptions {
  readonly target: 'new-vm' | 'original'
  /** Only for `original`: write just what changed since the point (default false: everything). */
  readonly differential?: boolean
  /** Name of the new VM; default `<name>-restored-<time>`. */
  readonly name?: string
  /** Power on afterwards (default false). */
  readonly powerOn?: boolean
  /** What a damaged block does: leave a hole and go on (`continue`), or fail the run (default `fail`). */
  readonly onDamage?: 'fail' | 'continue'
  /** Default normal. */
  readonly priority?: Priority
}

/** What a preview looks ahead at. */
export type PreviewOptions = ({ readonly of: 'backup' } & BackupOptions) | ({ readonly of: 'restore' } & RestoreOptions)

/**
 * What the ranges of a run waited for: the platform's disk, the limit of its connections, our own processor, the repository. In the order in which
 * the bytes of a backup pass by.
 */
export const RANGE_TIMES = ['source', 'throttle', 'cpu', 'store'] as const
export type RangeTime = (typeof RANGE_TIMES)[number]

export interface RunTotals {
  /** Bytes that CBT named (backup) or that the plan will write (restore). */
  readonly planned: number
  /** Bytes read from the source so far (backup: over NBD; restore: from the repository, stored size). */
  readonly read: number
  /** Bytes stored so far in packs and maps (backup) or written over NBD, holes not counted (restore). */
  readonly written: number
  /** Backup: changed-but-equal bytes that were not stored again. */
  readonly unchanged: number
  /** Bytes found to be zero and not stored / written as holes. */
  readonly zero: number
  readonly rangesTotal: number
  readonly rangesDone: number
}

export interface Run {
  readonly id: string
  readonly kind: RunKind
  readonly vmId: string
  readonly vmName: string
  readonly platformId: string
  readonly state: RunState
  /** No range of it is read or written, until it is resumed. */
  readonly paused: boolean
  readonly priority: Priority
  readonly outcome: Outcome | null
  /** Error code when it failed, e.g. `LEASE_OCCUPIED`; null otherwise. */
  readonly reason: string | null
  readonly message: string | null
  readonly options: BackupOptions | RestoreOptions | PreviewOptions
  readonly totals: RunTotals
  /** What its ranges waited for most; null before one is done. */
  readonly bottleneck: RangeTime | null
  readonly createdAt: string
  readonly startedAt: string | null
  /** When its plan was stored, and when its last range was done. */
  readonly plannedAt: string | null
  readonly copiedAt: string | null
  readonly endedAt: string | null
  /** Backup: the point it sealed. Restore, and a preview of one: the point it restores. */
  readonly restorePointId: string | null
  /** Restore: the VM it writes to, as the platform names it. */
  readonly targetPlatformVmId: string | null
  readonly images: readonly Image[]
  /** Packs and maps that it stored so far. */
  readonly objects: number
  /** What it was expected to read, store and take when it was planned; of a preview its result. Null before that. */
  readonly prediction: Prediction | null
  /** What the repository costs, as it is set now; null: not set. */
  readonly prices: Prices | null
  /** Warnings that users should see: disks left out, damage, CBT turned on. */
  readonly notes: readonly string[]
}

/** One disk in one run. In a restore it is the image being written; the fields about the parent are then null. */
export interface Image {
  readonly id: string
  readonly runId: string
  readonly diskId: string
  readonly diskSize: number
  readonly blockSize: number
  readonly kind: 'full' | 'incremental'
  readonly reason: FullReason | null
  readonly parentImageId: string | null
  /** The checkpoint since which the platform was asked, as decimal text; null or absent: not asked, the whole disk. */
  readonly since?: string | null
  readonly totals: RunTotals
}

/** What must be cleaned up after a run, recorded before it is created. */
export interface RunResources {
  readonly snapshotName: string | null
  readonly snapshotId: string | null
  readonly leaseId: string | null
  /** Under which its lease is asked for: the same token gives the same lease again. */
  readonly leaseToken: string | null
  /** VM made for a restore to a new VM. */
  readonly createdVmId: string | null
}

/** A run as the services work on it. */
export interface RunForWork extends Run {
  readonly platformVmId: string
  readonly resources: RunResources
  readonly checkpointId: string | null
  readonly config: Readonly<Record<string, unknown>> | null
  readonly cancelRequested: boolean
}

/** The newest sealed restore point of a VM as the parent of the next backup. */
export interface ParentPoint {
  readonly restorePointId: string
  /** Decimal text of the 64-bit checkpoint id. */
  readonly checkpointId: string
  readonly images: readonly {
    readonly imageId: string
    readonly diskId: string
    readonly diskSize: number
    readonly blockSize: number
    readonly cbt: boolean
  }[]
}

/** One range to plan: which pages of which image, and (backup) which extents of them to read. */
export interface NewRange {
  readonly imageId: string
  /** 0.. within the image; (imageId, index) is unique. */
  readonly index: number
  readonly firstPage: number
  readonly pageCount: number
  /** Backup: bytes to read, ascending. Restore full: empty = all non-zero blocks of the pages. Differential: only these. */
  readonly extents: readonly Extent[]
  /** Bytes to read or write. */
  readonly bytes: number
}

export interface RangeForWork extends NewRange {
  readonly id: string
  readonly runId: string
  readonly state: 'planned' | 'queued' | 'done' | 'failed'
  readonly diskId: string
  readonly diskSize: number
  readonly blockSize: number
  readonly kind: 'full' | 'incremental'
  readonly parentImageId: string | null
  readonly platformId: string
  readonly leaseId: string | null
  readonly snapshotId: string | null
  /** Restore: the image whose blocks are written. */
  readonly sourceImageId: string | null
  readonly onDamage: 'fail' | 'continue'
  /** What one connection to its platform may carry now, under whatever pressure there is; null: no limit. */
  readonly bytesPerSecond: number | null
  readonly runState: RunState
  readonly cancelRequested: boolean
  readonly paused: boolean
}

/** A range as a worker gets it. */
export interface TakenRange extends RangeForWork {
  /**
   * Names this try at the range: 24 hex digits. All packs and maps that it writes have ids that begin with it, so that they are accounted for before they
   * are written. Null: there is nothing to do (done, not in the queue, its run not copying, paused or cancelled), and no try is recorded.
   */
  readonly attemptId: string | null
}

/**
 * What a worker is told when it says how far it is. `taken`: somebody else did the range, or this try counts as ended; `paused`: hand it back. Each but
 * `go-on` means to stop.
 */
export type RangeNext = 'go-on' | 'cancelled' | 'paused' | 'taken'

/** How a worker gives an attempt up: something failed, or it was told to stop. */
export type AttemptEnd = 'failed' | 'handed-back'

/** What a read-range job reports. Idempotent per range: the first report wins. */
export interface RangeResult {
  readonly read: number
  readonly written: number
  readonly unchanged: number
  readonly zero: number
  /** Backup: encoded page references (see DESIGN.md, root), base64; empty for restores. */
  readonly pages: string
  /** Backup: packs and maps this range wrote. */
  readonly objects: readonly { readonly key: string; readonly size: number; readonly kind: 'pack' | 'map' }[]
  /** Restore: damaged extents that could not be restored. Backup: parts whose page in the parent is damaged, so that all of them were read again. */
  readonly damage: readonly (Extent & { readonly code: string })[]
  /** Milliseconds waited for each. */
  readonly time: Readonly<Record<RangeTime, number>>
}

export interface RestorePoint {
  readonly id: string
  readonly vmId: string
  readonly vmName: string
  readonly runId: string
  readonly createdAt: string
  readonly checkpointId: string
  readonly parentId: string | null
  readonly chainId: string
  readonly images: readonly PointImage[]
  /** Bytes this point added to the repository. */
  readonly stored: number
}

export interface PointImage {
  readonly imageId: string
  readonly diskId: string
  readonly diskSize: number
  readonly blockSize: number
  readonly kind: 'full' | 'incremental'
  readonly reason: FullReason | null
  readonly read: number
  readonly stored: number
  readonly cbt: boolean
}

/** What `seal-restore-point` hands over for the one transaction that makes the point final. */
export interface SealRequest {
  readonly restorePointId: string
  readonly createdAt: string
  readonly manifestKey: string
  readonly parentId: string | null
  readonly images: readonly { readonly imageId: string; readonly rootKey: string; readonly merkleRoot: string; readonly cbt: boolean }[]
}
