import type { Catalog, Image, NewImage, RunForWork } from '@varve/catalog-client'
import { SnapshotError } from './errors.ts'
import type { RangeSpool } from './range-spool.ts'

export interface PlannedImage {
  readonly image: NewImage
  readonly ranges: RangeSpool
}

/**
 * Put images and ranges into the catalog. Safe to repeat with the same plan.
 *
 * @throws SnapshotError PLAN_CHANGED when another worker stored a different plan of this run.
 */
export async function storePlan(run: RunForWork, plan: readonly PlannedImage[], catalog: Catalog): Promise<void> {
  const images = await catalog.addImages(
    run.id,
    plan.map(({ image }) => image),
  )
  for (const { image, ranges } of plan) {
    const stored = images.find(candidate => candidate.diskId === image.diskId)
    if (stored === undefined || !isSame(stored, image)) {
      throw new SnapshotError('PLAN_CHANGED', `disk ${image.diskId} is planned differently in the catalog`, { diskId: image.diskId })
    }
    for await (const batch of ranges.batches()) {
      await catalog.addRanges(
        run.id,
        batch.map(range => ({ imageId: stored.id, ...range })),
      )
    }
  }
}

function isSame(stored: Image, wanted: NewImage): boolean {
  return (
    stored.kind === wanted.kind &&
    stored.reason === wanted.reason &&
    stored.parentImageId === wanted.parentImageId &&
    stored.diskSize === wanted.diskSize &&
    stored.blockSize === wanted.blockSize
  )
}
