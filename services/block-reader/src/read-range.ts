import type { LaneTask, RangeWork } from '@varve/range-worker'
import { formatBytes } from '@varve/runtime'
import type { CopyTask } from './copy-range.ts'
import { parentPagesOf } from './range-pages.ts'

/** Told to a lane: what of which disk is copied, and where the disk is. */
export interface ReadTask extends CopyTask, LaneTask {}

/**
 * One range of a backup: the lane copies (`copy-range.ts`), then its packs and map, which belonged to the attempt alone until then, become
 * part of the run with the report. Every attempt writes objects of its own, so it is safe to repeat.
 */
export const readRange: RangeWork<ReadTask> = {
  done: 'range read',

  async plan({ attemptId, diskSize, blockSize, extents, parentImageId }, { catalog, repository, signal }) {
    const task = { attemptId, diskSize, blockSize, extents }
    if (parentImageId === null) return { ...task, parentPages: null }
    const { rootKey } = await catalog.getImageRoot(parentImageId)
    return { ...task, parentPages: await parentPagesOf(extents, task, rootKey, repository, signal) }
  },

  *notes({ diskId }, { damage }) {
    for (const { offset, length, code } of damage) {
      yield `Disk ${diskId}: the block map of the parent is damaged at ${formatBytes(offset)} (${code}); ${formatBytes(length)} were read again in whole.`
    }
  },
}
