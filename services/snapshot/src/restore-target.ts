import type { PointImage, RestoreOptions, RunForWork } from '@varve/catalog-client'
import { type PlatformDriver, PlatformError, type PlatformVm, type VmConfig } from '@varve/platform'
import { SnapshotError } from './errors.ts'
import { vmForRun } from './idle-vm.ts'
import { makeVm } from './new-vm.ts'
import { giveBackUnheard, type LeaseContext, liveLease } from './run-lease.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

interface Context {
  readonly platform: PlatformDriver
  readonly deps: SnapshotDeps
  readonly signal: AbortSignal
  /** Of the original. */
  readonly lease: Omit<LeaseContext, 'vmId'>
  /** Gets the ids of the VMs that the platform makes for this very call. */
  readonly made: Set<string>
}

/**
 * The VM to write to, with the saved configuration: a new one, or the original, which must be off. The original is changed only when all of
 * the point can be written to it.
 */
export async function restoreTarget(
  run: RunForWork,
  saved: { config: VmConfig; platformVmId: string },
  images: readonly PointImage[],
  context: Context,
): Promise<PlatformVm> {
  const { platform, deps, signal } = context
  const { catalog, retryMs } = deps
  if ((run.options as RestoreOptions).target === 'new-vm') {
    const vmId = await makeVm(run, saved.config, { platform, catalog, signal, made: context.made })
    const made = await vmForRun(vmId, await catalog.getRunForWork(run.id), { platform, catalog, signal, retryMs })
    return notBusy(made)
  }
  const vm = notBusy(await vmForRun(saved.platformVmId, run, { platform, catalog, signal, retryMs }))
  if (vm.power !== 'off') {
    throw new PlatformError('VM_NOT_OFF', `VM ${vm.name} is not powered off. Shut it down, then start the restore again.`, { vmId: vm.id })
  }
  checkTargetDisks(images, vm)
  // Under its lease the VM can't be edited; an attempt that got this far did it before.
  if ((await liveLease(run, { platform, catalog, signal })) !== null) return vm
  await giveBackUnheard(run, { ...context.lease, vmId: vm.id })
  await platform.editVm(vm.id, saved.config, signal)
  return platform.getVm(vm.id, signal)
}

function notBusy(vm: PlatformVm): PlatformVm {
  if (vm.busy) throw new PlatformError('VM_BUSY', `VM ${vm.name} has a task of the platform under way`)
  return vm
}

/**
 * Can every disk of the point be written to the target? Larger disks can; what lies behind the end of the image, and disks that
 * the point lacks, are told, not touched.
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
  for (const { id } of vm.disks) {
    if (!images.some(image => image.diskId === id)) notes.push(`Disk ${id} of the VM is not in the restore point; it is left as it is.`)
  }
  return notes
}
