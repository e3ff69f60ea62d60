import type { Catalog, RangeForWork } from '@varve/catalog-client'
import { formatBytes, type Logger, sleep } from '@varve/runtime'
import type { CopyProgress } from './copy-range.ts'
import type { DiskSources } from './disk-source.ts'
import { BlockReaderError } from './errors.ts'
import type { LanePool } from './lane-pool.ts'

export interface ReadRangeDeps {
  readonly catalog: Catalog
  readonly sources: DiskSources
  readonly lanes: LanePool
  readonly log: Logger
}

/**
 * Copy one range of a run: ask the catalog what it is and the platform where its disk can be read, let a lane do it, report.
 *
 * Effect: packs and a map in the repository, then the report in the catalog, which makes them part of the run. Safe to repeat: every copy
 * writes objects of its own and the catalog takes the first report only.
 *
 * Errors: CANCELLED, LEASE_LOST, what lanes throw, CatalogError. RUN_ENDED: stop quietly.
 */
export async function readRange(rangeId: string, { catalog, sources, lanes, log }: ReadRangeDeps, signal: AbortSignal): Promise<void> {
  const range = await catalog.getRange(rangeId)
  if (range.state === 'done' || range.runState !== 'copying') return // delivered twice, or late
  if (range.cancelRequested) throw new BlockReaderError('CANCELLED', 'the run was cancelled')

  const { diskSize, blockSize, extents, parentImageId } = range
  const parentRootKey = parentImageId === null ? null : (await catalog.getImageRoot(parentImageId)).rootKey
  const source = await sources.addressOf(range, signal)
  const started = performance.now()
  const watch = watchProgress(range, catalog, signal)
  try {
    const task = { diskSize, blockSize, extents, parentRootKey, source }
    const result = await lanes.run(task, { signal: watch.signal, onProgress: watch.onProgress })
    // Before the report: the last one moves the run on, and a run that ends takes no more notes.
    for (const { offset, length, code } of result.damage) {
      await catalog.addNote(
        range.runId,
        `Disk ${range.diskId}: the block map of the parent is damaged at ${formatBytes(offset)} (${code}); ${formatBytes(length)} were read again in whole.`,
      )
    }
    const { accepted } = await catalog.completeRange(rangeId, result)
    const { read, written, unchanged, zero, time } = result
    const ms = Math.round(performance.now() - started)
    log.info(
      { runId: range.runId, rangeId, diskId: range.diskId, index: range.index, read, written, unchanged, zero, time, ms, accepted },
      'range read',
    )
  } catch (error) {
    if (watch.ended !== undefined) throw watch.ended
    throw await sources.explain(error, range, signal)
  } finally {
    watch.stop()
  }
}

interface Watch {
  readonly signal: AbortSignal
  readonly onProgress: (progress: CopyProgress) => void
  /** Why the copying was stopped from here. */
  readonly ended: unknown
  stop(): void
}

/** At most two reports a second, each of which may learn that the run was cancelled or ended: then the copying stops. */
const REPORT_MS = 500

function watchProgress(range: RangeForWork, catalog: Catalog, signal: AbortSignal): Watch {
  const stop = new AbortController()
  let ended: unknown
  let reporting = false
  const end = (reason: unknown): void => {
    ended ??= reason
    stop.abort(reason)
  }
  const report = async (progress: CopyProgress): Promise<void> => {
    const { cancelRequested } = await catalog.progressRange(range.id, progress)
    if (cancelRequested) end(new BlockReaderError('CANCELLED', 'the run was cancelled'))
    await sleep(REPORT_MS, stop.signal).catch(() => {})
  }
  return {
    signal: AbortSignal.any([signal, stop.signal]),
    onProgress(progress) {
      if (reporting || stop.signal.aborted) return
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
    stop: () => stop.abort(),
  }
}
