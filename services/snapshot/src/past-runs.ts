import type { Catalog, Run } from '@varve/catalog-client'
import type { PastRun, Prediction } from '@varve/planning'

/** Looked at of a VM, and, where it has none, of all. */
const OF_VM = 20
const OF_ALL = 100

/** Runs of this kind that succeeded, newest first: those of the VM, or, where it has none, of its platform. */
export async function pastRuns(
  { vmId, platformId }: Pick<Run, 'vmId' | 'platformId'>,
  kind: Prediction['of'],
  catalog: Pick<Catalog, 'listRuns'>,
): Promise<readonly PastRun[]> {
  const own = (await catalog.listRuns({ vmId, kind, active: false, limit: OF_VM })).flatMap(pastRun)
  if (own.length > 0) return own
  const all = await catalog.listRuns({ kind, active: false, limit: OF_ALL })
  return all.filter(run => run.platformId === platformId).flatMap(pastRun)
}

/** Older than this, a preview tells nothing of what is there now, even if the plan looks the same. */
const PREVIEW_HOLDS_MS = 3_600_000
/** Among so many of a VM's newest runs is the one under way and the one before it. */
const NEWEST = 5

/** The preview that was made right before this run, of the same. */
export async function previewBefore(run: Run, catalog: Pick<Catalog, 'listRuns'>): Promise<Run | undefined> {
  const runs = await catalog.listRuns({ vmId: run.vmId, limit: NEWEST })
  const before = runs[runs.findIndex(({ id }) => id === run.id) + 1]
  if (before?.kind !== 'preview' || before.outcome !== 'succeeded') return undefined
  if (Date.parse(run.createdAt) - Date.parse(before.createdAt) > PREVIEW_HOLDS_MS) return undefined
  return run.kind === 'backup' || before.restorePointId === run.restorePointId ? before : undefined
}

/** Nothing is learnt from a run that failed, or from one of before times were kept. */
function pastRun({ vmId, state, startedAt, plannedAt, copiedAt, endedAt, totals, images }: Run): PastRun[] {
  if (state !== 'succeeded' || startedAt === null || plannedAt === null || copiedAt === null || endedAt === null) return []
  return [
    {
      vmId,
      read: totals.read,
      copySeconds: seconds(plannedAt, copiedAt),
      stepSeconds: seconds(startedAt, plannedAt) + seconds(copiedAt, endedAt),
      disks: images.map(({ diskId, kind, totals: { read, written } }) => ({ diskId, kind, read, stored: written })),
    },
  ]
}

function seconds(from: string, to: string): number {
  return Math.max(0, Date.parse(to) - Date.parse(from)) / 1000
}
