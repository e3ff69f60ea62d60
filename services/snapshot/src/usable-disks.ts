import { type PlatformDisk, PlatformError, type PlatformSnapshot, type PlatformVm } from '@varve/platform'
import { SnapshotError } from './errors.ts'

/**
 * The disks of a VM that a backup takes.
 *
 * @throws SnapshotError VM_NOT_SUPPORTED, NO_DISKS, DISK_SIZE_INVALID; PlatformError VM_BUSY
 */
export function usableDisks(vm: PlatformVm): readonly PlatformDisk[] {
  if (vm.exclusions.length > 0) {
    throw new SnapshotError('VM_NOT_SUPPORTED', `VM ${vm.name} cannot be backed up: ${vm.exclusions.join(', ')}`, {
      exclusions: vm.exclusions,
    })
  }
  if (vm.power === 'other') throw new SnapshotError('VM_NOT_SUPPORTED', `VM ${vm.name} is neither running nor shut down`)
  if (vm.busy) throw new PlatformError('VM_BUSY', `VM ${vm.name} has a task of the platform under way`)
  const disks = vm.disks.filter(disk => disk.excluded === undefined)
  if (disks.length === 0) throw new SnapshotError('NO_DISKS', `VM ${vm.name} has no disk that can be backed up`)
  for (const disk of disks) checkSize(disk)
  return disks
}

export type SnapshotDisk = PlatformSnapshot['disks'][number]

/**
 * Exactly the disks that the snapshot holds, less those that are left out. Disks may have come, gone or grown since the VM was looked at; what is
 * restored is the configuration in the snapshot, so its disks are the ones to take.
 *
 * @throws SnapshotError NO_DISKS, DISK_SIZE_INVALID
 */
export function snapshotDisks(snapshot: PlatformSnapshot, vm: PlatformVm): readonly SnapshotDisk[] {
  const excluded = new Set(vm.disks.filter(disk => disk.excluded !== undefined).map(disk => disk.id))
  const disks = snapshot.disks.filter(disk => !excluded.has(disk.id))
  if (disks.length === 0) throw new SnapshotError('NO_DISKS', `the snapshot of VM ${vm.name} has no disk that can be backed up`)
  for (const disk of disks) checkSize(disk)
  return disks
}

/** One line for each disk that the VM had just before and its snapshot does not have. */
export function notesOnDetached(snapshot: PlatformSnapshot, vm: PlatformVm): readonly string[] {
  const inSnapshot = new Set(snapshot.disks.map(disk => disk.id))
  return vm.disks
    .filter(disk => disk.excluded === undefined && !inSnapshot.has(disk.id))
    .map(disk => `Disk ${disk.id} is left out: it is not part of the snapshot.`)
}

/** One line for each disk left out, for the user. */
export function notesOnExcluded(vm: PlatformVm): readonly string[] {
  return vm.disks
    .filter(disk => disk.excluded !== undefined)
    .map(disk => `Disk ${disk.id} is left out: it is ${disk.excluded === 'rdm' ? 'raw-mapped' : disk.excluded}.`)
}

function checkSize({ id, size }: SnapshotDisk): void {
  if (!Number.isSafeInteger(size) || size <= 0 || size % 512 !== 0) {
    throw new SnapshotError('DISK_SIZE_INVALID', `disk ${id} has ${size} bytes: not a positive multiple of 512`, { diskId: id, size })
  }
}
