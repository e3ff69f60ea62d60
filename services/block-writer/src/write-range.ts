import type { RangeResult } from '@varve/catalog-client'
import type { LaneTask, RangeWork } from '@varve/range-worker'
import { BlockWriterError } from './errors.ts'
import { sourcePagesOf } from './image-pages.ts'
import type { WriteTask } from './restore-range.ts'

/** Told to a lane: what of which image is written, and where the disk is. */
export interface RestoreTask extends WriteTask, LaneTask {}

/**
 * One range of a restore: the lane writes (`restore-range.ts`), and the range's bytes are durable on the target before the report. Safe to
 * repeat: the same bytes are written again.
 */
export const writeRange: RangeWork<RestoreTask> = {
  done: 'range written',

  async plan({ id, sourceImageId, diskSize, blockSize, firstPage, pageCount, extents, onDamage }, { catalog, repository, signal }) {
    if (sourceImageId === null) throw new BlockWriterError('SOURCE_IMAGE_MISSING', `range ${id} does not say which image it writes`)
    const { rootKey } = await catalog.getImageRoot(sourceImageId)
    const task = { diskSize, blockSize, firstPage, pageCount, extents, onDamage }
    return { ...task, sourcePages: await sourcePagesOf(task, rootKey, repository, signal) }
  },

  *notes({ diskId }, { damage }) {
    if (damage.length > 0) yield damageNote(diskId, damage)
  },
}

/** The first few places; the damage map has them all. */
const PLACES_TOLD = 3

function damageNote(diskId: string, damage: RangeResult['damage']): string {
  const bytes = damage.reduce((sum, { length }) => sum + length, 0)
  const places = damage.slice(0, PLACES_TOLD).map(({ offset, length, code }) => `${length} at ${offset} (${code})`)
  const more = damage.length > PLACES_TOLD ? ', …' : ''
  return `Disk ${diskId}: ${bytes} bytes could not be restored: ${places.join(', ')}${more}.`
}
