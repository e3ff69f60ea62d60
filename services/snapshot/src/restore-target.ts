import type { PointImage, RestoreOptions, RunForWork } from '@varve/catalog-client'
import { type PlatformDriver, PlatformError, type PlatformVm, type VmConfig } from '@varve/platform'
import { SnapshotError } from './errors.ts'
import { makeVm } from './new-vm.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

interface Context {
  readonly platform: PlatformDriver
  readonly deps: SnapshotDeps
  readonly signal: AbortSignal
}

/** The VM to write to, with the saved configuration: a new one, or the original, which must be off. */
export async function restoreTarget(
  run: RunForWork,
  saved: { config: VmConfig; platformVmId: string },
  context: Context,
): Promise<PlatformVm> {
  const { platform, deps, signal } = context
  if ((run.options as RestoreOptions).target === 'new-vm') {
    return platform.getVm(await makeVm(run, saved.config, { platform, catalog: deps.catalog, signal }), signal)
  }
  const vm = await platform.getVm(saved.platformVmId, signal)
  if (vm.power !== 'off') {
    throw new PlatformError('VM_NOT_OFF', `VM ${vm.name} is not powered off. Shut it down, then start the restore again.`, { vmId: vm.id })
  }
  if (vm.busy) throw new PlatformError('VM_BUSY', `VM ${vm.name} has a task of the platform under way`)
  await platform.editVm(vm.id, saved.config, signal)
  return platform.getVm(vm.id, signal)
}

/**
 * Can every disk of the point be written to the target? Larger disks can; what lies behind the end of the image is told, not touched.
 *
 * @returns notes for the user
 * @throws SnapshotError TARGET_DISK_MISSING, TARGET_DISK_SMALLER
 */
export function checkTargetDisks(images: readonly PointImage[], vm: PlatformVm): readonly string[] {
  const notes: string[] = []
  for (const { diskId, diskSize } of images) {
    const disk = vm.disks.find(candidate => candidate.id === diskId)
    if (disk === undefined) throw new SnapshotError('TARGET_DISK_MISSING', `VM ${vm.name} has no disk ${diskId}`, { diskId })
    if (disk.size < diskSize) {
      throw new SnapshotError('TARGET_DISK_SMALLER', `disk ${diskId} of VM ${vm.name} has ${disk.size} bytes, the image ${diskSize}`, {
        diskId,
      })
    }
    if (disk.size > diskSize)
      notes.push(`Disk ${diskId} is larger than in the restore point; the last ${disk.size - diskSize} bytes are left as they are.`)
  }
  return notes
}
