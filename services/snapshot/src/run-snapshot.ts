import type { Catalog, RunForWork } from '@varve/catalog-client'
import type { PlatformDriver, PlatformSnapshot } from '@varve/platform'

interface Context {
  readonly vmId: string
  readonly platform: PlatformDriver
  readonly catalog: Catalog
  readonly signal: AbortSignal
}

/** Snapshots of a run begin with this name and nobody else's do: whoever cleans up finds them without knowing their ids. */
export function snapshotName(runId: string): string {
  return `varve-${runId}`
}

function nameAfterReset(runId: string): string {
  return `${snapshotName(runId)}-reset`
}

/**
 * The run's snapshot: the one that an earlier attempt took, or a new one. Its name is in the catalog before it exists.
 * A snapshot taken after a reset of tracking supersedes the first.
 */
export async function takeSnapshot(run: RunForWork, context: Context): Promise<PlatformSnapshot> {
  const { vmId, platform, catalog, signal } = context
  const name = snapshotName(run.id)
  await catalog.recordResources(run.id, { snapshotName: name })
  const later = (await platform.listSnapshots(vmId, name, signal)).find(snapshot => snapshot.name === nameAfterReset(run.id))
  const snapshot =
    later === undefined ? await platform.createSnapshot(vmId, name, signal) : await platform.getSnapshot(vmId, later.id, signal)
  return record(run, snapshot, catalog)
}

/**
 * Reset tracking, then take another snapshot, so that its checkpoint is of the new generation and the next backup may be an
 * incremental. The reset hits every disk of the VM. The name of the new snapshot is what says, after a crash, that the reset was done.
 */
export async function resetAndRetake(run: RunForWork, { vmId, platform, catalog, signal }: Context): Promise<PlatformSnapshot> {
  await platform.setCbt(vmId, 'reset', undefined, signal)
  return record(run, await platform.createSnapshot(vmId, nameAfterReset(run.id), signal), catalog)
}

export function isAfterReset(run: RunForWork, snapshot: PlatformSnapshot): boolean {
  return snapshot.name === nameAfterReset(run.id)
}

async function record(run: RunForWork, snapshot: PlatformSnapshot, catalog: Catalog): Promise<PlatformSnapshot> {
  await catalog.recordResources(run.id, { snapshotId: snapshot.id })
  await catalog.recordSnapshot(run.id, { snapshotId: snapshot.id, checkpointId: String(snapshot.checkpointId), config: snapshot.config })
  return snapshot
}
