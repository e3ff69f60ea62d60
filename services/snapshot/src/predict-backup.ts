import {
  countBackupRequests,
  type PastRun,
  type PredictedDisk,
  type Prediction,
  predictionOf,
  predictSeconds,
  storedRatio,
} from '@varve/planning'
import type { DiskPlan } from './plan-disks.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/** What is known of each range's bytes: how many will be read, and whether that is certain. */
export interface Reads {
  readonly ofRanges: readonly number[]
  readonly exact: boolean
}

/** No run fails because nobody can say how long it takes. */
export async function withoutFail(
  predict: () => Promise<Prediction>,
  runId: string,
  { log }: Pick<SnapshotDeps, 'log'>,
): Promise<Prediction | undefined> {
  try {
    return await predict()
  } catch (error) {
    log.warn({ runId, err: error }, 'no prediction')
    return undefined
  }
}

/**
 * What a backup with these plans will read, store and take.
 *
 * @param reads of each plan, by what is allocated; absent: by the plans alone
 */
export function predictBackup(vmId: string, plans: readonly DiskPlan[], past: readonly PastRun[], reads?: readonly Reads[]): Prediction {
  const disks = plans.map((plan, i) => predictDisk(vmId, plan, past, reads?.[i] ?? readsByPlan(plan)))
  const read = disks.reduce((sum, disk) => sum + disk.read, 0)
  return predictionOf('backup', disks, predictSeconds(read, vmId, past))
}

function predictDisk(
  vmId: string,
  { diskId, diskSize, choice, ranges }: DiskPlan,
  past: readonly PastRun[],
  { ofRanges, exact }: Reads,
): PredictedDisk {
  const read = ofRanges.reduce((sum, bytes) => sum + bytes, 0)
  const { ratio, basis } = storedRatio({ vmId, diskId, kind: choice.kind }, past)
  const volumes = ofRanges.map((bytes, i) => ({ read: bytes, pages: ranges.volumes[i]?.pages ?? 0 }))
  return {
    diskId,
    diskSize,
    kind: choice.kind,
    reason: choice.reason,
    planned: ranges.bytes,
    read,
    exact,
    stored: Math.round(read * ratio),
    storedBasis: basis,
    ...countBackupRequests(volumes, ratio, choice.kind === 'incremental'),
  }
}

/**
 * Of a full that asked what is allocated just that is read; what lies around it in the same blocks are holes. An incremental reads whole blocks, in which
 * there may be holes that cost nothing: at most.
 */
export function readsByPlan({ choice, ranges }: DiskPlan): Reads {
  const bytes = ranges.volumes.reduce((sum, { read }) => sum + read, 0)
  const share = choice.kind === 'full' && choice.since !== null && bytes > 0 ? ranges.bytes / bytes : 1
  return { ofRanges: ranges.volumes.map(({ read }) => Math.round(read * share)), exact: false }
}
