import type { ErrorReport } from '@varve/errors'
import type { CheckMethods } from './check-methods.ts'
import type { PageRequest } from './page.ts'
import type {
  AttemptEnd,
  BackupOptions,
  Image,
  NewPlatform,
  NewRange,
  ParentPoint,
  Platform,
  PlatformLimits,
  PlatformWithCredentials,
  PointImage,
  Prediction,
  PressureReason,
  Prices,
  RangeNext,
  RangeResult,
  RestoreOptions,
  RestorePoint,
  Run,
  RunForWork,
  RunKind,
  RunResources,
  RunState,
  RunStep,
  SealRequest,
  TakenRange,
  Vm,
} from './types.ts'

/** What a VM looks like on its platform, as the snapshot service reports it. */
export interface SeenVm {
  readonly platformVmId: string
  readonly name: string
  readonly power: string
  readonly exclusions: readonly string[]
  /** The platform's id of the host it is on, where it tells. */
  readonly hostId?: string
  readonly disks: readonly SeenDisk[]
}

export interface SeenDisk {
  readonly diskId: string
  readonly size: number
  /** The platform's id of the datastore it is on, where it tells. */
  readonly datastoreId?: string
  readonly excluded?: string
}

export interface NewImage {
  readonly diskId: string
  readonly diskSize: number
  readonly blockSize: number
  readonly kind: 'full' | 'incremental'
  readonly reason: Image['reason']
  readonly parentImageId: string | null
  /** The checkpoint since which the platform was asked, as decimal text; null or absent: not asked, the whole disk. */
  readonly since?: string | null
  /** Does a CBT checkpoint of this disk belong to the point, so that it can be a parent? */
  readonly cbt: boolean
  /** Restores: the image whose blocks are written. */
  readonly sourceImageId: string | null
}

/** A plan as the one who made it knows it; what is absent is not compared. */
export interface MadePlan {
  /** The snapshot that it was made from; null: none. */
  readonly snapshotId?: string | null
  /** The lease under which it holds: without it, or under another one, the disks may have been written to. */
  readonly leaseId?: string
  /** What the run is expected to read, store and take. A preview ends with it. */
  readonly prediction?: Prediction
  /** Every image of the run, and its ranges. */
  readonly images?: readonly { readonly imageId: string; readonly ranges: number }[]
}

/**
 * The catalog, as every other service sees it. Implemented over HTTP by `createCatalogClient`; the service behind it is the only
 * holder of database credentials. Each call is one transaction and may be repeated: repeating changes nothing and gives
 * the same answer. Errors are CatalogErrors: NOT_FOUND, CONFLICT (the state does not allow it, `context.state`), PLAN_CHANGED (another
 * worker plans this run), RUN_ENDED (any report about a run
 * that is finishing or ended: stop working on it), BAD_REQUEST, CATALOG_UNREACHABLE (retryable), UNAUTHORIZED.
 */
export interface Catalog extends CheckMethods {
  addPlatform(platform: NewPlatform): Promise<Platform>
  listPlatforms(): Promise<readonly Platform[]>
  getPlatform(id: string): Promise<PlatformWithCredentials>
  deletePlatform(id: string): Promise<void>
  /** Only the given limits change. Whoever asks for work next is held to them. */
  setPlatformLimits(id: string, limits: Partial<PlatformLimits>): Promise<Platform>
  /**
   * The platform asked to wait, or took long to answer. Raises its pressure by one, at most once in five seconds whoever reports; by itself it falls by
   * one in each minute without a report.
   */
  reportPressure(id: string, reason: PressureReason): Promise<void>

  /** Replace what is known of a platform's VMs; VMs no longer listed stay (their points remain) but are marked gone. */
  reportVms(platformId: string, vms: readonly SeenVm[]): Promise<void>
  /** By name; 500 a page, at most 1000. */
  listVms(page?: PageRequest): Promise<readonly Vm[]>
  getVm(id: string): Promise<Vm>

  /** The same idempotency key with the same request gives the same run; with another request it is CONFLICT. Inserts the run and its first step in one transaction. CONFLICT when the VM has a run under way. */
  createBackup(vmId: string, options: BackupOptions, idempotencyKey?: string): Promise<Run>
  createRestore(restorePointId: string, options: RestoreOptions, idempotencyKey?: string): Promise<Run>
  /** A run that plans the backup or restore as it would be now, and copies nothing. CONFLICT when one of a backup, or of the original, meets a run under way on the VM. */
  createBackupPreview(vmId: string, options: BackupOptions, idempotencyKey?: string): Promise<Run>
  createRestorePreview(restorePointId: string, options: RestoreOptions, idempotencyKey?: string): Promise<Run>
  /** What the repository costs; null: not set. */
  getPrices(): Promise<Prices | null>
  /** All of them, or none (null). */
  setPrices(prices: Prices | null): Promise<void>
  /** Newest first; 50 a page, at most 500. */
  listRuns(filter?: PageRequest & { readonly vmId?: string; readonly kind?: RunKind; readonly active?: boolean }): Promise<readonly Run[]>
  getRun(id: string): Promise<Run>
  /**
   * Ask a run to stop. Queued or copying it goes to finishing at once (reports get RUN_ENDED); preparing or sealing the flag is set and the step under way
   * stops at its next look (`planned` turns it into finishing at the latest). Finishing or ended: unchanged.
   */
  cancelRun(id: string): Promise<Run>
  /**
   * Hold a run: none of its ranges is given out, those under way are handed back; a step around the copying that has begun ends first. Its lease goes on being
   * renewed. Twice is once, and a run that is paused can be cancelled. RUN_ENDED when it is finishing or has ended.
   */
  pauseRun(id: string): Promise<Run>
  /** Go on with a run that is paused; one that is not stays as it is, whatever its state. */
  resumeRun(id: string): Promise<Run>

  getRunForWork(id: string): Promise<RunForWork>
  /** queued -> preparing. */
  startRun(id: string): Promise<void>
  /**
   * Record what is about to be created or was just created; only the given fields change. From preparing on; a snapshot's name comes before its id,
   * and once ranges are copied only the lease may still be another (CONFLICT). Once the ranges are planned, another snapshotId is
   * PLAN_CHANGED: the run stands on the snapshot it was planned from. While finishing only clearing (null) is without error; another
   * value is recorded too, for the clean-up to find, and answered with RUN_ENDED. `seen`: PLAN_CHANGED, and nothing is recorded, when these are others by now: a
   * worker that slept must not put what it made in the place of what another one made meanwhile.
   */
  recordResources(id: string, resources: Partial<RunResources>, seen?: Partial<RunResources>): Promise<void>
  /**
   * Another snapshot (id or checkpoint id) than the one recorded before drops the images and ranges that were planned from that one. PLAN_CHANGED when
   * `snapshotId` is given and is not the recorded one.
   */
  recordSnapshot(
    id: string,
    snapshot: {
      readonly checkpointId: string
      readonly config: Readonly<Record<string, unknown>>
      readonly snapshotId?: string | null
    },
  ): Promise<void>
  addNote(id: string, note: string): Promise<void>
  setTarget(id: string, targetPlatformVmId: string): Promise<void>
  /** One image per disk; repeated for the same (run, disk) it returns the one that is there. PLAN_CHANGED when the run has another snapshot than the given. */
  addImages(id: string, images: readonly NewImage[], snapshotId?: string | null): Promise<readonly Image[]>
  /** Up to 1000 a call; (imageId, index) twice is once. PLAN_CHANGED when it is another range, its image is gone, or the run has another snapshot than the given. */
  addRanges(id: string, ranges: readonly NewRange[], snapshotId?: string | null): Promise<void>
  /**
   * All ranges are in: preparing -> copying, and a window of them goes to the queue; with no range at all the next step does. A preview succeeds with its
   * prediction (BAD_REQUEST without one). PLAN_CHANGED when what is stored is not the given plan.
   */
  planned(id: string, plan?: MadePlan): Promise<void>
  /** Forget the images and ranges stored so far, to plan anew. Nothing happens when the run has another snapshot than the given, or is planned already. */
  dropPlan(id: string, snapshotId: string | null): Promise<void>
  /**
   * Begin a try at a range: it is recorded before anything is written. `worker` (1..200 characters) names who tries and is used for one try only: under the
   * same name again the answer is the same try, as long as it is open.
   */
  takeRange(id: string, worker: string): Promise<TakenRange>
  /**
   * First report wins; later ones, and those of tries that were given up, return `{ accepted: false }`. The very same report again (a lost answer) is
   * accepted again, so that nobody takes its own objects for garbage. The last range moves the run on. RUN_ENDED when the run is no longer copying and the
   * range is not done; NOT_FOUND when the range has no such attempt; BAD_REQUEST when an object's id does not begin with the attempt's.
   */
  completeRange(id: string, attemptId: string, result: RangeResult): Promise<{ readonly accepted: boolean }>
  /** A sign of life, how far the try is, and what to do next. RUN_ENDED; NOT_FOUND when the range has no such attempt. */
  progressRange(
    id: string,
    attemptId: string,
    progress: { readonly read: number; readonly written: number },
  ): Promise<{ readonly next: RangeNext }>
  /**
   * A try is given up, and nothing is written under it any more. A range of a paused run goes back to `planned` when nobody else works on it; otherwise it stays
   * in the queue. One that has ended already stays as it ended.
   */
  endAttempt(attemptId: string, end: AttemptEnd): Promise<void>
  /** The page references that the ranges of an image reported, in page order, as raw bytes (concatenated). RUN_ENDED long after the run's end, when they are in the root only. */
  imagePages(imageId: string): Promise<Uint8Array>
  /** Keys of all packs and maps that the run's accepted ranges reported, with sizes. RUN_ENDED long after the run's end. */
  runObjects(id: string): Promise<readonly { readonly key: string; readonly size: number; readonly kind: 'pack' | 'map' }[]>
  /** The one transaction that makes a point final; run -> finishing with outcome succeeded, and finish-run is queued. */
  seal(id: string, request: SealRequest): Promise<void>
  /**
   * Any state before finishing -> finishing with outcome failed (or cancelled when `error.code` is CANCELLED); finish-run is queued. A run that
   * is finishing or ended already stays as it is: the first outcome wins, no error. With `rangeId` it is one range that failed for good where it was
   * tried: the run goes on when that range is done, or another worker has an attempt at it under way.
   */
  failRun(id: string, error: ErrorReport, rangeId?: string): Promise<void>
  /** Clean-up is done: finishing -> the outcome. CONFLICT while a resource is recorded: a run that has ended owns nothing. */
  closeRun(id: string): Promise<void>

  /** The newest sealed point of a VM, null when there is none. */
  parentPoint(vmId: string): Promise<ParentPoint | null>
  /** Newest first; 200 a page, at most 1000. */
  listPoints(vmId?: string, page?: PageRequest): Promise<readonly RestorePoint[]>
  getPoint(id: string): Promise<RestorePoint>
  /** The saved VM configuration of a point and the platform it came from. */
  getPointConfig(id: string): Promise<{
    readonly config: Readonly<Record<string, unknown>>
    readonly platformId: string
    readonly platformVmId: string
    readonly checkpointId: string
  }>
  getImageRoot(imageId: string): Promise<{
    readonly rootKey: string
    readonly diskSize: number
    readonly blockSize: number
    readonly image: PointImage
    /** The point it belongs to. */
    readonly restorePointId: string
  }>

  /** Leases of live runs, for renewal. */
  activeLeases(): Promise<readonly { readonly runId: string; readonly platformId: string; readonly leaseId: string }[]>
  /** Put the job of a run's present step into the queue again (after a restart, or when the queue lost it). */
  requeue(id: string): Promise<void>

  /**
   * Runs as they change (state, totals, progress), until the signal aborts. A hint to read the run again, never the news itself: changes close together
   * are one, and one may come for nothing. Reconnects by itself; it then names every run that is under way or changed in the last minutes.
   */
  changes(signal?: AbortSignal): AsyncIterable<{ readonly runId: string }>

  close(): Promise<void>
}

export type { RunState, RunStep }
