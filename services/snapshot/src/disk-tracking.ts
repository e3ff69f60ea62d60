import type { Catalog, RunForWork } from '@varve/catalog-client'
import type { KindQuestion } from '@varve/planning'
import type { PlatformDisk, PlatformDriver } from '@varve/platform'

export type Tracking = KindQuestion['tracking']

/**
 * Is changed block tracking on for each disk? Where it is off it is turned on if the run allows it, before the snapshot, so
 * that the snapshot has a checkpoint. The note goes to the catalog first: an attempt that crashed after turning it on must
 * not look, to the next one, as if tracking had been on all the time.
 */
export async function ensureTracking(
  run: RunForWork,
  disks: readonly PlatformDisk[],
  enable: boolean,
  { platform, catalog }: { readonly platform: PlatformDriver; readonly catalog: Catalog },
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Tracking>> {
  const status = await platform.cbtStatus(run.platformVmId, signal)
  const on = new Set(status.enabled ? status.disks.filter(disk => disk.enabled).map(disk => disk.id) : [])
  const off = disks.map(disk => disk.id).filter(id => !on.has(id))
  if (enable && off.length > 0) {
    for (const id of off) await catalog.addNote(run.id, enabledNote(id))
    await platform.setCbt(run.platformVmId, 'enable', off, signal)
  }
  const tracking = (id: string): Tracking => {
    if (run.notes.includes(enabledNote(id))) return 'enabled-now'
    if (on.has(id)) return 'on'
    return enable ? 'enabled-now' : 'off'
  }
  return new Map(disks.map(disk => [disk.id, tracking(disk.id)]))
}

function enabledNote(diskId: string): string {
  return `Changed block tracking was turned on for disk ${diskId}.`
}
