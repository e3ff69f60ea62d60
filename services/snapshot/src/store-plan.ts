import { type Catalog, CatalogError, type Image, type NewImage, type Prediction, type RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import type { RangeSpool } from './range-spool.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

export interface PlannedImage {
  readonly image: NewImage
  readonly ranges: RangeSpool
}

/** What a plan stands on: it holds for this snapshot (null: none) and, where given, under this lease. */
export interface PlannedUnder {
  readonly snapshotId: string | null
  readonly leaseId?: string | undefined
  readonly prediction?: Prediction | undefined
}

/**
 * Put images and ranges into the catalog, all of them made from this snapshot; the run is then `copying`. Safe to repeat with the
 * same plan. Part of another plan, stored by an earlier attempt or a twin, is dropped, so that the next attempt begins anew.
 *
 * @throws CatalogError PLAN_CHANGED
 */
export async function storePlan(
  run: RunForWork,
  plan: readonly PlannedImage[],
  { snapshotId, leaseId, prediction }: PlannedUnder,
  catalog: Catalog,
): Promise<void> {
  try {
    const images = await catalog.addImages(
      run.id,
      plan.map(({ image }) => image),
      snapshotId,
    )
    const made: { imageId: string; ranges: number }[] = []
    for (const { image, ranges } of plan) {
      const stored = images.find(candidate => candidate.diskId === image.diskId)
      if (stored === undefined || !isSame(stored, image)) {
        throw new CatalogError('PLAN_CHANGED', `disk ${image.diskId} is planned differently in the catalog`, { diskId: image.diskId })
      }
      for await (const batch of ranges.batches()) {
        await catalog.addRanges(
          run.id,
          batch.map(range => ({ imageId: stored.id, ...range })),
          snapshotId,
        )
      }
      made.push({ imageId: stored.id, ranges: ranges.ranges })
    }
    const more = { ...(leaseId === undefined ? {} : { leaseId }), ...(prediction === undefined ? {} : { prediction }) }
    await catalog.planned(run.id, { snapshotId, ...more, images: made })
  } catch (error) {
    if (hasCode(error, 'PLAN_CHANGED')) await catalog.dropPlan(run.id, snapshotId)
    throw error
  }
}

/** For a preparing job that failed: has another worker planned the run to its end meanwhile? Then this failure is nobody's. */
export async function isPlannedMeanwhile(runId: string, { catalog }: SnapshotDeps): Promise<boolean> {
  // The job's own error is the one to report.
  const run = await catalog.getRunForWork(runId).catch(() => null)
  return run?.state === 'copying' || run?.state === 'sealing'
}

function isSame(stored: Image, wanted: NewImage): boolean {
  return (
    stored.kind === wanted.kind &&
    stored.reason === wanted.reason &&
    stored.parentImageId === wanted.parentImageId &&
    stored.diskSize === wanted.diskSize &&
    stored.blockSize === wanted.blockSize &&
    (stored.since ?? null) === (wanted.since ?? null)
  )
}
