import type { AttemptEnd, Catalog, RangeForWork, RangeResult, TakenRange } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import type { Repository } from '@varve/repository'
import type { Logger } from '@varve/runtime'
import type { DiskAddresses } from './disk-addresses.ts'
import type { IsPassing } from './end-or-retry.ts'
import { RangeWorkerError } from './errors.ts'
import type { LaneTask } from './lane-messages.ts'
import type { LanePool } from './lane-pool.ts'
import type { RangeMetrics } from './range-metrics.ts'
import { watchProgress } from './watch-progress.ts'

/** A range with the attempt that is made at it. */
export type AttemptedRange = TakenRange & { readonly attemptId: string }

export interface PlanDeps {
  readonly catalog: Pick<Catalog, 'getImageRoot'>
  /** One for all lanes: what a root takes in memory it takes once. */
  readonly repository: Pick<Repository, 'getRoot'>
  readonly signal: AbortSignal
}

/** What differs between reading and writing ranges. */
export interface RangeWork<Task extends LaneTask> {
  /** What the lane is to do, but for the disk's address and how fast it may be used. */
  plan(range: AttemptedRange, deps: PlanDeps): Promise<Omit<Task, keyof LaneTask>>
  /** What people should know of the result, to be noted at the run. */
  notes(range: RangeForWork, result: RangeResult): Iterable<string>
  /** The line of the log when a range is done. */
  readonly done: string
}

export interface RangeDeps<Task extends LaneTask> {
  readonly catalog: Catalog
  readonly repository: Pick<Repository, 'getRoot'>
  readonly disks: DiskAddresses
  readonly lanes: Pick<LanePool<Task, RangeResult>, 'run'>
  readonly log: Logger
  /** A name for each attempt, never the same twice. */
  readonly workerName: () => string
  /** A range that makes no step for this long is given up, ms (default 5 minutes). */
  readonly stallMs?: number | undefined
  readonly metrics?: RangeMetrics | undefined
}

/**
 * Do the work on one range of a run: begin an attempt at the catalog, plan it (which reads the image's root), ask the platform where its disk is, let a lane do
 * it, report.
 *
 * Effect: what the lane did becomes part of the run with the report. Safe to repeat: the catalog takes the first report only, and every attempt writes
 * under its own name. An attempt that does not report is ended, when nothing is written under it any more.
 *
 * Errors: CANCELLED, RANGE_STALLED, LEASE_LOST, what plans and lanes throw, CatalogError. RUN_ENDED: stop quietly. Handed back because the run was paused, or taken by
 * somebody else: no error.
 */
export async function workOnRange<Task extends LaneTask>(
  rangeId: string,
  work: RangeWork<Task>,
  deps: RangeDeps<Task>,
  signal: AbortSignal,
): Promise<void> {
  const range = await deps.catalog.takeRange(rangeId, deps.workerName())
  if (isAttempt(range)) return attempt(range, work, deps, signal)
  if (range.cancelRequested && range.runState === 'copying') throw new RangeWorkerError('CANCELLED', 'the run was cancelled')
  // Delivered twice, or late, or while the run is paused.
}

function isAttempt(range: TakenRange): range is AttemptedRange {
  return range.attemptId !== null
}

async function attempt<Task extends LaneTask>(
  range: AttemptedRange,
  work: RangeWork<Task>,
  { catalog, repository, disks, lanes, log, stallMs, metrics }: RangeDeps<Task>,
  signal: AbortSignal,
): Promise<void> {
  const started = performance.now()
  const watch = watchProgress(range, catalog, signal, stallMs)
  const end = async (how: AttemptEnd): Promise<void> => {
    // Else it counts as ended once it was silent for long enough.
    await catalog
      .endAttempt(range.attemptId, how)
      .catch(error => log.debug({ err: error, ...idsOf(range) }, 'an attempt could not be ended'))
  }
  try {
    const roots = new TimedRoots(repository)
    const plan = await work.plan(range, { catalog, repository: roots, signal: watch.signal })
    const disk = await disks.of(range, watch.signal)
    const copied = await lanes.run({ ...plan, disk, bytesPerSecond: range.bytesPerSecond } as Task, watch)
    const result = { ...copied, time: { ...copied.time, store: copied.time.store + Math.round(roots.ms) } }
    // Before the report: the last one moves the run on, and a run that ends takes no more notes.
    for (const note of work.notes(range, result)) await catalog.addNote(range.runId, note)
    const { accepted } = await catalog.completeRange(range.id, range.attemptId, result)
    const ms = Math.round(performance.now() - started)
    metrics?.done(result, ms, accepted)
    log.info(factsOf(range, result, { ms, accepted }), work.done)
  } catch (error) {
    const { ended } = watch
    if (ended === 'paused' || ended === 'taken') {
      await end('handed-back')
      metrics?.ended(ended === 'taken' ? 'late' : 'handed-back')
      log.info({ ...idsOf(range), why: ended }, 'range given up')
      return
    }
    await end(signal.aborted ? 'handed-back' : 'failed')
    throw ended ?? (await disks.explain(error, range, signal))
  } finally {
    watch.stop()
  }
}

/** What waiting for roots cost; a range's `store` is told it too. */
class TimedRoots implements Pick<Repository, 'getRoot'> {
  readonly #repository: Pick<Repository, 'getRoot'>
  ms = 0

  constructor(repository: Pick<Repository, 'getRoot'>) {
    this.#repository = repository
  }

  async getRoot(...args: Parameters<Repository['getRoot']>): ReturnType<Repository['getRoot']> {
    const started = performance.now()
    try {
      return await this.#repository.getRoot(...args)
    } finally {
      this.ms += performance.now() - started
    }
  }
}

/**
 * May another attempt succeed? A server that answered with an error, or broke the protocol, is asked again over a new connection. A lost
 * lease of a restore does not come back; that of a backup is the business of whoever renews leases.
 */
export const isPassingForRange: IsPassing = (error, { retryable }) => {
  if (hasCode(error, 'LEASE_LOST')) return false
  if (hasCode(error, 'NBD_REQUEST_FAILED')) return ['EIO', 'ENOMEM', 'ESHUTDOWN'].includes(String(error.context.errno))
  return retryable || hasCode(error, 'NBD_PROTOCOL')
}

function idsOf({ id, attemptId, runId, diskId, index }: AttemptedRange): object {
  return { runId, rangeId: id, attemptId, diskId, index }
}

function factsOf(range: AttemptedRange, result: RangeResult, more: { ms: number; accepted: boolean }): object {
  const { read, written, unchanged, zero, damage, time } = result
  return { ...idsOf(range), read, written, unchanged, zero, damage: damage.length, time, ...more }
}
