import type { Logger } from '@varve/runtime'
import type { Datastore, VmRecord } from './datastore/datastore.ts'
import { HciError } from './errors.ts'
import type { BackupExports } from './exports/data-access.ts'
import type { GuestExports } from './exports/guest-exports.ts'
import type { Faults } from './faults/faults.ts'
import { taskFault } from './faults/http-faults.ts'
import type { Leases } from './leases/leases.ts'
import type { Settings } from './options.ts'
import type { VmNames } from './servers/vm-names.ts'
import type { Task } from './tasks/task.ts'
import type { TaskHandle, Tasks } from './tasks/tasks.ts'

/** Everything the calls act on. */
export interface Platform {
  readonly settings: Settings
  readonly datastore: Datastore
  readonly tasks: Tasks
  readonly leases: Leases
  readonly faults: Faults
  readonly backups: BackupExports
  readonly guests: GuestExports
  readonly names: VmNames
  readonly log: Logger
}

/** Start a task that holds the VM; scripted faults strike first. VM_BUSY when another task holds it. */
export function startVmTask(
  platform: Platform,
  vm: Pick<VmRecord, 'id' | 'name'>,
  task: { readonly action: string; readonly description: string; readonly user: string },
  work: (handle: TaskHandle) => Promise<void>,
): Promise<Task> {
  return platform.tasks.start({ ...task, objectType: 'server', objectId: vm.id, objectName: vm.name, locks: vm.id }, async handle => {
    await taskFault(platform.faults, task.action, vm.id, handle.signal)
    await work(handle)
  })
}

export function requireOff(vm: VmRecord): void {
  if (vm.power !== 'off') throw new HciError('VM_NOT_OFF', `the VM ${vm.name} is not powered off`, { vmId: vm.id })
}

export function requireUnleased(platform: Platform, vmId: string): void {
  const lease = platform.leases.holding(vmId)
  if (lease !== undefined) throw new HciError('VM_LEASED', `the VM is locked by a backup resource (${lease.type})`, { vmId })
}

export function requireNoRestore(platform: Platform, vmId: string): void {
  if (platform.leases.holding(vmId)?.type === 'restore') {
    throw new HciError('VM_LEASED', 'the VM is locked by a backup resource (restore)', { vmId })
  }
}
