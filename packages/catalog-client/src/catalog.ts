import type { ErrorReport } from '@varve/errors'
import type { CheckMethods } from './check-methods.ts'
import type {
  BackupOptions,
  Image,
  NewRange,
  ParentPoint,
  Platform,
  PlatformWithCredentials,
  PointImage,
  RangeForWork,
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
  Vm,
} from './types.ts'

/** What a VM looks like on its platform, as the snapshot service reports it. */
export interface SeenVm {
  readonly platformVmId: string
  readonly name: string
  readonly power: string
  readonly exclusions: readonly string[]
  readonly disks: readonly { readonly diskId: string; readonly size: number; readonly excluded?: string }[]
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
  addPlatform(platform: Omit<PlatformWithCredentials, 'id' | 'createdAt'>): Promise<Platform>
  listPlatforms(): Promise<readonly Platform[]>
  getPlatform(id: string): Promise<PlatformWithCredentials>
  deletePlatform(id: string): Promise<void>

  /** Replace what is known of a platform's VMs; VMs no longer listed stay (their points remain) but are marked gone. */
  reportVms(platformId: string, vms: readonly SeenVm[]): Promise<void>
  listVms(): Promise<readonly Vm[]>
  getVm(id: string): Promise<Vm>

  /** The same idempotency key with the same request gives the same run; with another request it is CONFLICT. Inserts the run and its first step in one transaction. CONFLICT when the VM has a run under way. */
  createBackup(vmId: string, options: BackupOptions, idempotencyKey?: string): Promise<Run>
  createRestore(restorePointId: string, options: RestoreOptions, idempotencyKey?: string): Promise<Run>
  listRuns(filter?: {
    readonly vmId?: string
    readonly kind?: RunKind
    readonly active?: boolean
    readonly limit?: number
  }): Promise<readonly Run[]>
  getRun(id: string): Promise<Run>
  /**
   * Ask a run to stop. Queued or copying it goes to finishing at once (reports get RUN_ENDED); preparing or sealing the flag is set and the step under way
   * stops at its next look (`planned` turns it into finishing at the latest). Finishing or ended: unchanged.
   */
  cancelRun(id: string): Promise<Run>

  getRunForWork(id: string): Promise<RunForWork>
  /** queued -> preparing. */
  startRun(id: string): Promise<void>
  /**
   * Record what is about to be created or was just created; only the given fields change. Once the ranges are planned, another snapshotId is
   * PLAN_CHANGED: the run stands on the snapshot it was planned from. While finishing only clearing (null) is without error; another
   * value is recorded too, for the clean-up to find, and answered with RUN_ENDED.
   */
  recordResources(id: string, resources: Partial<RunResources>): Promise<void>
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
   * All ranges are in: preparing -> copying, and a window of them goes to the queue; with no range at all the next step does. PLAN_CHANGED when what is
   * stored is not the given plan.
   */
  planned(id: string, plan?: MadePlan): Promise<void>
  /** Forget the images and ranges stored so far, to plan anew. Nothing happens when the run has another snapshot than the given, or is planned already. */
  dropPlan(id: string, snapshotId: string | null): Promise<void>
  getRange(id: string): Promise<RangeForWork>
  /**
   * First report wins; later ones return `{ accepted: false }`. The very same report again (a lost answer) is accepted again, so that nobody
   * takes its own objects for garbage. The last range moves the run on. RUN_ENDED when the run is no longer copying and the range is not done.
   */
  completeRange(id: string, result: RangeResult): Promise<{ readonly accepted: boolean }>
  /** Progress inside a range, for the eye only. */
  progressRange(id: string, progress: { readonly read: number; readonly written: number }): Promise<{ readonly cancelRequested: boolean }>
  /** The page references that the ranges of an image reported, in page order, as raw bytes (concatenated). */
  imagePages(imageId: string): Promise<Uint8Array>
  /** Keys of all packs and maps that the run's accepted ranges reported, with sizes. */
  runObjects(id: string): Promise<readonly { readonly key: string; readonly size: number; readonly kind: 'pack' | 'map' }[]>
  /** The one transaction that makes a point final; run -> finishing with outcome succeeded, and finish-run is queued. */
  seal(id: string, request: SealRequest): Promise<void>
  /**
   * Any state before finishing -> finishing with outcome failed (or cancelled when `error.code` is CANCELLED); finish-run is queued. A run that
   * is finishing or ended already stays as it is: the first outcome wins, no error.
   */
  failRun(id: string, error: ErrorReport): Promise<void>
  /** Clean-up is done: finishing -> the outcome. CONFLICT while a resource is recorded: a run that has ended owns nothing. */
  closeRun(id: string): Promise<void>

  /** The newest sealed point of a VM, null when there is none. */
  parentPoint(vmId: string): Promise<ParentPoint | null>
  listPoints(vmId?: string): Promise<readonly RestorePoint[]>
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
