import type { Catalog, TakenRange } from '@varve/catalog-client'
import { formatDuration, sleep } from '@varve/runtime'
import { RangeWorkerError } from './errors.ts'
import type { RangeProgress } from './lane-messages.ts'
import type { LaneCall } from './lane-pool.ts'

/** A range that makes no step for this long is given up. Servers that stop answering are noticed earlier; this is for those that trickle. */
export const STALL_MS = 5 * 60_000
/** At most two reports a second, each of which may learn that the work is to stop. */
const REPORT_MS = 500
/** A report at least this often, also while no lane is at work yet (the platform is asked where the disk is): a silent attempt is given to others. */
const BEAT_MS = 2000

export interface Watch extends LaneCall {
  /** Why the work was stopped from here: the error to go on with, or that it is nobody's fault. */
  readonly ended: Error | 'paused' | 'taken' | undefined
  stop(): void
}

/**
 * Tell the catalog how far a range is, and stop the work when the run is cancelled (CANCELLED), over (RUN_ENDED) or paused, when somebody else did the range
 * (`taken`), or when no step was made for `stallMs` (RANGE_STALLED).
 */
export function watchProgress(
  range: Pick<TakenRange, 'id' | 'diskId' | 'index'> & { readonly attemptId: string },
  catalog: Pick<Catalog, 'progressRange'>,
  signal: AbortSignal,
  stallMs: number = STALL_MS,
): Watch {
  const stop = new AbortController()
  let ended: Watch['ended']
  let reporting = false
  let stepsSeen = 0
  const end = (reason: NonNullable<Watch['ended']>): void => {
    ended ??= reason
    stop.abort(reason)
  }
  const stalled = setTimeout(() => {
    const what = `range ${range.index} of disk ${range.diskId} made no progress for ${formatDuration(stallMs)}`
    end(new RangeWorkerError('RANGE_STALLED', what, { rangeId: range.id, stallMs }))
  }, stallMs)
  const report = async (progress: RangeProgress): Promise<void> => {
    const { next } = await catalog.progressRange(range.id, range.attemptId, progress)
    if (next === 'cancelled') end(new RangeWorkerError('CANCELLED', 'the run was cancelled'))
    else if (next !== 'go-on') end(next)
    await sleep(REPORT_MS, stop.signal).catch(() => {})
  }
  let last: RangeProgress = { read: 0, written: 0 }
  const tell = (progress: RangeProgress): void => {
    last = progress
    if (reporting || stop.signal.aborted) return
    reporting = true
    report(progress)
      .catch(error => {
        // Progress is for the eye; only that the work is to stop matters.
        if (error?.code === 'RUN_ENDED') end(error)
      })
      .finally(() => {
        reporting = false
      })
  }
  const beat = setInterval(() => tell(last), BEAT_MS)
  return {
    signal: AbortSignal.any([signal, stop.signal]),
    onProgress(progress, steps) {
      if (stop.signal.aborted) return
      if (steps !== stepsSeen) {
        stepsSeen = steps
        stalled.refresh()
      }
      tell(progress)
    },
    get ended() {
      return ended
    },
    stop() {
      clearTimeout(stalled)
      clearInterval(beat)
      stop.abort()
    },
  }
}
