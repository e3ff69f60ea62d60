import { decodeRoot } from '@varve/block-map'
import type { ParentPoint } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { ParentImage } from '@varve/planning'
import type { PlatformDriver } from '@varve/platform'
import type { SnapshotDeps } from './snapshot-deps.ts'

/** 64 B a page: enough for 1 PiB at the default block size. */
const MAX_ROOT_LENGTH = 256 * 1024 * 1024

/** The newest sealed point of a VM, and for each of its disks whether its block map can be used. */
export interface Parent {
  readonly restorePointId: string
  readonly checkpoint: bigint
  readonly images: ReadonlyMap<string, ParentImage>
}

/** null when there is no sealed point. A root that is gone or damaged is not an error here: it makes the disk a full. */
export async function readParent(vmId: string, deps: SnapshotDeps, platform: PlatformDriver): Promise<Parent | null> {
  const point = await deps.catalog.parentPoint(vmId)
  if (point === null) return null
  const damaged = await foundDamaged(vmId, deps)
  const { config } = await deps.catalog.getPointConfig(point.restorePointId)
  const identities = new Map(platform.configuredDisks(config).map(disk => [disk.id, disk.identity]))
  const images = new Map<string, ParentImage>()
  for (const image of point.images) {
    images.set(image.diskId, { ...image, identity: identities.get(image.diskId), usable: !damaged && (await hasRoot(image, deps)) })
  }
  return { restorePointId: point.restorePointId, checkpoint: BigInt(point.checkpointId), images }
}

/**
 * Did the last backup find the parent's pages gone or damaged while copying? Only then are they read, so only there can it show;
 * the next backup, this one, must not run into the same hole.
 */
async function foundDamaged(vmId: string, { catalog }: SnapshotDeps): Promise<boolean> {
  const [last] = (await catalog.listRuns({ vmId, kind: 'backup', limit: 2 })).filter(run => run.endedAt !== null)
  return DAMAGES.has(last?.reason ?? '')
}

/** What a reader fails with when the parent's root (the last two) or pages are not what they were. */
const DAMAGES: ReadonlySet<string> = new Set(['MAP_MISSING', 'MAP_DAMAGED', 'MAP_CORRUPT', 'OBJECT_NOT_FOUND', 'PARENT_DIFFERS'])

async function hasRoot(image: ParentPoint['images'][number], { catalog, repository, log }: SnapshotDeps): Promise<boolean> {
  try {
    const { rootKey } = await catalog.getImageRoot(image.imageId)
    // From the store itself: a root that this process remembers may be gone there, and it is others that must read it.
    const root = decodeRoot(await repository.store.get(rootKey, undefined, { maxLength: MAX_ROOT_LENGTH }))
    return root.diskSize === image.diskSize && root.blockSize === image.blockSize
  } catch (error) {
    // A store that can't be reached says nothing about the parent.
    if (errorReport(error).retryable) throw error
    log.warn({ imageId: image.imageId, diskId: image.diskId, err: error }, 'parent cannot be used')
    return false
  }
}
