import type { ParentPoint } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { ParentImage } from '@varve/planning'
import type { SnapshotDeps } from './snapshot-deps.ts'

/** The newest sealed point of a VM, and for each of its disks whether its block map can be used. */
export interface Parent {
  readonly restorePointId: string
  readonly checkpoint: bigint
  readonly images: ReadonlyMap<string, ParentImage>
}

/** null when there is no sealed point. A root that is gone or damaged is not an error here: it makes the disk a full. */
export async function readParent(vmId: string, deps: SnapshotDeps): Promise<Parent | null> {
  const point = await deps.catalog.parentPoint(vmId)
  if (point === null) return null
  const damaged = await foundDamaged(vmId, deps)
  const images = new Map<string, ParentImage>()
  for (const image of point.images) images.set(image.diskId, { ...image, usable: !damaged && (await hasRoot(image, deps)) })
  return { restorePointId: point.restorePointId, checkpoint: BigInt(point.checkpointId), images }
}

/**
 * Did the last backup find the parent's pages gone or damaged while copying? Only then are they read, so only there can it show;
 * the next backup, this one, must not run into the same hole.
 */
async function foundDamaged(vmId: string, { catalog }: SnapshotDeps): Promise<boolean> {
  const [last] = (await catalog.listRuns({ vmId, kind: 'backup', limit: 2 })).filter(run => run.endedAt !== null)
  return last?.reason === 'MAP_MISSING' || last?.reason === 'MAP_DAMAGED' || last?.reason === 'MAP_CORRUPT'
}

async function hasRoot(image: ParentPoint['images'][number], { catalog, repository, log }: SnapshotDeps): Promise<boolean> {
  try {
    const { rootKey } = await catalog.getImageRoot(image.imageId)
    const root = await repository.getRoot(rootKey)
    return root.diskSize === image.diskSize && root.blockSize === image.blockSize
  } catch (error) {
    // A store that can't be reached says nothing about the parent.
    if (errorReport(error).retryable) throw error
    log.warn({ imageId: image.imageId, diskId: image.diskId, err: error }, 'parent cannot be used')
    return false
  }
}
