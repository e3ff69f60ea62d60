import type { Catalog, RangeForWork } from '@varve/catalog-client'
import { formatDuration, sleep } from '@varve/runtime'
import { RangeWorkerError } from './errors.ts'
import type { LaneCall } from './lane-pool.ts'

/** A range that makes no step for this long is given up. Servers that stop answering are noticed earlier; this is for those that trickle. */
export const STALL_MS = 5 * 60_000
/** At most two reports a second, each of which may learn that the run was cancelled or ended: then the work stops. */
const REPORT_MS = 500

export interface Watch extends LaneCall {
  /** Why the work was stopped from here. */
  readonly ended: unknown
  stop(): void
}

/**
 * Tell the catalog how far a range is, and stop the work when the run is cancelled (CANCELLED) or over (RUN_ENDED), or when no step was
 * made for `stallMs` (RANGE_STALLED).
 */
export function watchProgress(
  range: Pick<RangeForWork, 'id' | 'diskId' | 'index'>,
  catalog: Pick<Catalog, 'progressRange'>,
  signal: AbortSignal,
  stallMs: number = STALL_MS,
): Watch {
  const stop = new AbortController()
  let ended: unknown
  let reporting = false
  let stepsSeen = 0
  const end = (reason: unknown): void => {
    ended ??= reason
    stop.abort(reason)
  }
  const stalled = setTimeout(() => {
    const what = `range ${range.index} of disk ${range.diskId} made no progress for ${formatDuration(stallMs)}`
    end(new RangeWorkerError('RANGE_STALLED', what, { rangeId: range.id, stallMs }))
  }, stallMs)
  const report = async (progress: { read: number; written: number }): Promise<void> => {
    const { cancelRequested } = await catalog.progressRange(range.id, progress)
    if (cancelRequested) end(new RangeWorkerError('CANCELLED', 'the run was cancelled'))
    await sleep(REPORT_MS, stop.signal).catch(() => {})
  }
  return {
    signal: AbortSignal.any([signal, stop.signal]),
    onProgress(progress, steps) {
      if (stop.signal.aborted) return
      if (steps !== stepsSeen) {
        stepsSeen = steps
        stalled.refresh()
      }
      if (reporting) return
      reporting = true
      report(progress)
        .catch(error => {
          // Progress is for the eye; only the end of the run matters.
          if (error?.code === 'RUN_ENDED') end(error)
        })
        .finally(() => {
          reporting = false
        })
    },
    get ended() {
      return ended
    },
    stop() {
      clearTimeout(stalled)
      stop.abort()
    },
  }
}
