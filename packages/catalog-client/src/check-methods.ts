import type {
  AttemptsToSweep,
  Check,
  CheckEnd,
  CheckFilter,
  CheckProgress,
  CheckRequest,
  CheckWithFindings,
  CompactedAttempts,
  FactsPage,
  ImageOwner,
  LiveRunFacts,
  ObjectOwner,
  ObjectToSweep,
  PointFacts,
  RunFacts,
} from './check-types.ts'

/** Most ids or keys of one question. */
export const IDS_PER_CALL = 1000

/**
 * The part of the catalog that checks use: the rows of checks, and the facts that a check compares with platforms and repository. Every answer is bounded;
 * what may be long comes in pages. Facts are read without locks: who acts on them takes away only what can never be owned again.
 */
export interface CheckMethods {
  /** The same id gives the same check. */
  createCheck(request: CheckRequest, id?: string): Promise<Check>
  /**
   * The newest check of its kind, with a sweep: a new one, unless one is open or was made less than so many seconds ago. It is of leaks, and of all at the longer
   * interval (0: never); one of all that failed is due again after an hour.
   */
  createPeriodicCheck(everySeconds: number, wholeEverySeconds: number): Promise<Check>
  getCheck(id: string): Promise<CheckWithFindings>
  /** Newest first, without their findings. */
  listChecks(filter?: CheckFilter): Promise<readonly Check[]>
  /**
   * The check to work on: the one that this worker has already, else the oldest that is queued or whose worker was silent for 60 s. Null: none. A worker
   * works on one at a time.
   */
  takeCheck(worker: string): Promise<Check | null>
  /** Its sign of life. CONFLICT when the check is another worker's by now, or has ended: stop. */
  progressCheck(id: string, worker: string, progress: CheckProgress): Promise<void>
  /** CONFLICT as above; the same end again changes nothing. */
  endCheck(id: string, worker: string, end: CheckEnd): Promise<void>

  /** Points sealed before the check was made, by VM and oldest first, a hundred at a time. */
  pointFacts(checkId: string, after: string | null): Promise<FactsPage<PointFacts>>
  /** Those of these runs that there are. */
  runFacts(ids: readonly string[]): Promise<readonly RunFacts[]>
  /** Runs that have not ended. */
  liveRunFacts(after: string | null): Promise<FactsPage<LiveRunFacts>>
  /** Runs that ended within the last so many seconds. */
  endedRunFacts(withinSeconds: number, after: string | null): Promise<FactsPage<RunFacts>>
  /** One answer for each key of a pack or map, in their order. */
  objectOwners(keys: readonly string[]): Promise<readonly ObjectOwner[]>
  /** Accepted tries of runs whose rows were compacted: `objectOwners` does not know them any more. */
  compactedAttempts(after: string | null): Promise<FactsPage<CompactedAttempts>>
  /** One answer for each image, in their order. */
  imageOwners(imageIds: readonly string[]): Promise<readonly ImageOwner[]>
  /** Those of these points that are sealed. */
  sealedPoints(ids: readonly string[]): Promise<readonly string[]>
  /**
   * Tries that ended without being accepted and never will be: their range was done by another one, or their run is over. Not swept
   * yet, and silent for ten minutes; at most 1000, none of these runs.
   */
  attemptsToSweep(exceptRuns: readonly string[]): Promise<AttemptsToSweep>
  /** What these tries had left in the repository when they were asked for is gone. */
  attemptsSwept(ids: readonly string[], askedAt: string): Promise<void>
  /** Packs and maps that backups reported which ended without a point. At most 1000, none of these runs. */
  objectsToSweep(exceptRuns: readonly string[]): Promise<readonly ObjectToSweep[]>
  /** These are gone from the repository. */
  objectsSwept(objects: readonly ObjectToSweep[]): Promise<void>
}
