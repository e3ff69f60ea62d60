import type { Catalog, RangeForWork, RangeResult } from '@varve/catalog-client'
import { type Logger, sleep } from '@varve/runtime'
import type { DiskTargets } from './disk-target.ts'
import { BlockWriterError } from './errors.ts'
import type { LanePool } from './lane-pool.ts'
import type { WriteProgress } from './restore-range.ts'

export interface WriteRangeDeps {
  readonly catalog: Catalog
  readonly targets: DiskTargets
  readonly lanes: LanePool
  readonly log: Logger
}

/**
 * Write one range of a restore: ask the catalog what it is and the platform where its disk can be written, let a lane do it, report.
 *
 * Effect: the range's bytes are durable on the target, then the report in the catalog. Safe to repeat: the same bytes are written again.
 *
 * Errors: CANCELLED, LEASE_LOST, what lanes throw (BLOCK_DAMAGED, …), CatalogError. RUN_ENDED: stop quietly.
 */
export async function writeRange(rangeId: string, { catalog, targets, lanes, log }: WriteRangeDeps, signal: AbortSignal): Promise<void> {
  const range = await catalog.getRange(rangeId)
  if (range.state === 'done' || range.runState !== 'copying') return // delivered twice, or late
  if (range.cancelRequested) throw new BlockWriterError('CANCELLED', 'the run was cancelled')
  if (range.sourceImageId === null)
    throw new BlockWriterError('SOURCE_IMAGE_MISSING', `range ${rangeId} does not say which image it writes`)

  const { diskSize, blockSize, firstPage, pageCount, extents, onDamage } = range
  const { rootKey: sourceRootKey } = await catalog.getImageRoot(range.sourceImageId)
  const target = await targets.addressOf(range, signal)
  const started = performance.now()
  const watch = watchProgress(range, catalog, signal)
  try {
    const task = { diskSize, blockSize, firstPage, pageCount, extents, onDamage, sourceRootKey, target }
    const result = await lanes.run(task, { signal: watch.signal, onProgress: watch.onProgress })
    if (result.damage.length > 0) await catalog.addNote(range.runId, damageNote(range.diskId, result.damage))
    const { accepted } = await catalog.completeRange(rangeId, result)
    const { read, written, zero, damage, time } = result
    const ms = Math.round(performance.now() - started)
    const facts = {
      runId: range.runId,
      rangeId,
      diskId: range.diskId,
      index: range.index,
      read,
      written,
      zero,
      damage: damage.length,
      time,
      ms,
      accepted,
    }
    log.info(facts, 'range written')
  } catch (error) {
    if (watch.ended !== undefined) throw watch.ended
    throw await targets.explain(error, range, signal)
  } finally {
    watch.stop()
  }
}

/** The first few places; the damage map has them all. */
const PLACES_TOLD = 3

function damageNote(diskId: string, damage: RangeResult['damage']): string {
  const bytes = damage.reduce((sum, { length }) => sum + length, 0)
  const places = damage.slice(0, PLACES_TOLD).map(({ offset, length, code }) => `${length} at ${offset} (${code})`)
  const more = damage.length > PLACES_TOLD ? ', …' : ''
  return `Disk ${diskId}: ${bytes} bytes could not be restored: ${places.join(', ')}${more}.`
}

interface Watch {
  readonly signal: AbortSignal
  readonly onProgress: (progress: WriteProgress) => void
  /** Why the writing was stopped from here. */
  readonly ended: unknown
  stop(): void
}

/** At most two reports a second, each of which may learn that the run was cancelled or ended: then the writing stops. */
const REPORT_MS = 500

function watchProgress(range: RangeForWork, catalog: Catalog, signal: AbortSignal): Watch {
  const stop = new AbortController()
  let ended: unknown
  let reporting = false
  const end = (reason: unknown): void => {
    ended ??= reason
    stop.abort(reason)
  }
  const report = async (progress: WriteProgress): Promise<void> => {
    const { cancelRequested } = await catalog.progressRange(range.id, progress)
    if (cancelRequested) end(new BlockWriterError('CANCELLED', 'the run was cancelled'))
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
