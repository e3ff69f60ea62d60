import type { NewImage, PointImage, RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { isAnother, NO_CHECKPOINT, planRanges, planRestore } from '@varve/planning'
import type { ConfiguredDisk, PlatformDriver, PlatformSnapshot } from '@varve/platform'
import { RangeSpool } from './range-spool.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import type { PlannedImage } from './store-plan.ts'

export interface RestoreContext {
  readonly run: RunForWork
  readonly vmId: string
  /** Does the target's disk read as zeros before the restore? */
  readonly onto: 'empty' | 'unknown'
  /** Differential: the target as it is now; checkpoint and disks of the point. */
  readonly since: { readonly snapshot: PlatformSnapshot; readonly checkpoint: bigint; readonly disks: readonly ConfiguredDisk[] } | null
  readonly platform: PlatformDriver
  readonly deps: SnapshotDeps
  readonly signal: AbortSignal
}

/** What of one disk is to be written. The caller closes the spool. */
export async function planRestoreDisk(image: PointImage, context: RestoreContext): Promise<PlannedImage> {
  const changed = await changedRanges(image, context)
  const ranges = changed ?? (await RangeSpool.fill(await allRanges(image, context), image))
  const { run, deps } = context
  deps.log.info(
    { runId: run.id, diskId: image.diskId, differential: changed !== null, ranges: ranges.ranges, bytes: ranges.bytes },
    'disk planned',
  )
  return { ranges, image: restoreImage(image, changed === null ? 'full' : 'incremental') }
}

async function allRanges(image: PointImage, { onto, deps, signal }: RestoreContext) {
  const { rootKey } = await deps.catalog.getImageRoot(image.imageId)
  const root = await deps.repository.getRoot(rootKey, { signal })
  return planRestore(root.pages, image, onto, deps.limits)
}

/** The ranges that changed since the point; null, with a note, when the platform can't tell and the whole disk must be written. */
async function changedRanges(image: PointImage, context: RestoreContext): Promise<RangeSpool | null> {
  const { run, vmId, since, platform, deps, signal } = context
  if (since === null) return null
  const { snapshot, checkpoint, disks } = since
  const { diskId, diskSize } = image
  const now = snapshot.disks.find(disk => disk.id === diskId)
  const because = (why: string) => deps.catalog.addNote(run.id, `Disk ${diskId} is restored in full: ${why}.`).then(() => null)
  if (!image.cbt || checkpoint === NO_CHECKPOINT) return because('the restore point has no checkpoint for it')
  if (isAnother(disks.find(disk => disk.id === diskId)?.identity, now?.identity)) return because('another disk is in its place')
  if (now?.size !== diskSize) return because('its size has changed since')
  try {
    const areas = platform.changedAreas({ vmId, diskId, snapshotId: snapshot.id, since: checkpoint, diskSize }, signal)
    return await RangeSpool.fill(planRanges(areas, image, deps.limits), image)
  } catch (error) {
    if (hasCode(error, 'CBT_EXPIRED')) return because('changed block tracking has expired since')
    if (hasCode(error, 'CBT_DISABLED')) return because('changed block tracking is off')
    if (hasCode(error, 'CBT_ANSWER_INVALID')) return because('the platform gave a changed-areas answer that cannot be true')
    throw error
  }
}

/** A differential stands in the catalog as an incremental on the image it brings back, so that it can't be taken for a full later. */
function restoreImage({ imageId, diskId, diskSize, blockSize }: PointImage, kind: NewImage['kind']): NewImage {
  const parentImageId = kind === 'incremental' ? imageId : null
  return { diskId, diskSize, blockSize, kind, reason: null, parentImageId, cbt: false, sourceImageId: imageId }
}
