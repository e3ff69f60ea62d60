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
  const on = await trackedDisks(run.platformVmId, platform, signal)
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

/** The same as a look: what `ensureTracking` would find, and turn on. */
export async function lookAtTracking(
  vmId: string,
  disks: readonly PlatformDisk[],
  enable: boolean,
  platform: PlatformDriver,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Tracking>> {
  const on = await trackedDisks(vmId, platform, signal)
  return new Map(disks.map(({ id }) => [id, on.has(id) ? 'on' : enable ? 'enabled-now' : 'off']))
}

async function trackedDisks(vmId: string, platform: PlatformDriver, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const status = await platform.cbtStatus(vmId, signal)
  return new Set(status.enabled ? status.disks.filter(disk => disk.enabled).map(disk => disk.id) : [])
}

function enabledNote(diskId: string): string {
  return `Changed block tracking was turned on for disk ${diskId}.`
}
