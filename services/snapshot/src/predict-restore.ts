import type { RunForWork } from '@varve/catalog-client'
import { type PredictedDisk, type Prediction, predictionOf, predictSeconds } from '@varve/planning'
import { countStored } from './count-stored.ts'
import { pastRuns } from './past-runs.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import type { PlannedImage } from './store-plan.ts'

/** Pages of the block map of one disk that a restore looks at before it begins: 16 GiB of a full disk. More would hold it up. */
const PAGES_BEFORE_A_RUN = 64

/** What a restore with these plans will read from the repository and take. A preview looks at the whole block map (`whole`), a run at some of it. */
export async function predictRestore(
  run: RunForWork,
  plans: readonly PlannedImage[],
  { whole }: { readonly whole: boolean },
  deps: SnapshotDeps,
  signal: AbortSignal,
): Promise<Prediction> {
  const disks: PredictedDisk[] = []
  for (const { image, ranges } of plans) {
    const { diskId, diskSize, kind, reason, sourceImageId } = image
    const { rootKey } = await deps.catalog.getImageRoot(sourceImageId ?? '')
    const root = await deps.repository.getRoot(rootKey, { signal })
    const stored = await countStored(ranges, root, { mostPages: whole ? Number.POSITIVE_INFINITY : PAGES_BEFORE_A_RUN }, deps, signal)
    disks.push({
      diskId,
      diskSize,
      kind: kind === 'incremental' ? 'differential' : 'full',
      reason,
      planned: ranges.bytes,
      read: stored.bytes,
      exact: stored.exact,
      stored: 0,
      storedBasis: { from: 'disk', runs: 0 },
      puts: 0,
      gets: stored.gets,
    })
  }
  const read = disks.reduce((sum, disk) => sum + disk.read, 0)
  return predictionOf('restore', disks, predictSeconds(read, run.vmId, await pastRuns(run, 'restore', deps.catalog)))
}
