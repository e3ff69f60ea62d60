import type { VmRecord } from '../datastore/datastore.ts'
import { inventory } from '../inventory/inventory.ts'
import { diskEntries, flagAt, objectAt, textAt } from './vm-conf.ts'
import { vmConfigOf } from './vm-config.ts'

const MIB = 1024 * 1024

export type VmStatus = 'running' | 'stopped' | 'suspended'

export function vmStatus(vm: VmRecord): VmStatus {
  if (vm.power === 'off') return 'stopped'
  return vmConfigOf(vm.config).suspended ? 'suspended' : 'running'
}

/**
 * A VM as `GET /janus/20240725/servers` lists it. The fields that bar a VM from agentless backup come from the configuration:
 * `advanced_option.turbo_mode_enabled`, `vmtype`, `os_name`, `application` + `revert_mode` (or `advanced_option.restore_mode`), a disk's `type`.
 * `task_id` is ours: the operation in progress, else empty.
 */
export function vmView(vm: VmRecord, taskId: string): Record<string, unknown> {
  const { vmconf, vmNumber } = vmConfigOf(vm.config)
  const advanced = objectAt(vmconf, 'advanced_option')
  const os = objectAt(vmconf, 'os_option')
  const hardware = objectAt(vmconf, 'hardware_option')
  const restoreMode = textAt(advanced, 'restore_mode')
  const application = textAt(vmconf, 'application')
  const types = new Map(diskEntries(vmconf).map(entry => [textAt(entry, 'device_id'), textAt(entry, 'type')]))
  return {
    id: vm.id,
    vm_id: vmNumber,
    name: vm.name,
    description: textAt(vmconf, 'description'),
    status: vmStatus(vm),
    power_state: vm.power,
    is_stopped: vm.power === 'off' ? 1 : 0,
    task_id: taskId,
    type: 'hci',
    vmtype: textAt(vmconf, 'vmtype') || 'vm',
    detail_vmtype: textAt(vmconf, 'vmtype') || 'vm',
    application: application === 'desk' || application === 'DESK_SCENARIO' ? 'desk' : 'compute',
    revert_mode: flagAt(vmconf, 'revert_mode') || (restoreMode !== '' && restoreMode !== 'DISABLED') ? 1 : 0,
    turbo_mode_enabled: flagAt(advanced, 'turbo_mode_enabled') || flagAt(vmconf, 'turbo_mode_enabled'),
    os_type: textAt(os, 'kernel_name'),
    os_name: textAt(vmconf, 'os_name') || textAt(os, 'distribution_name'),
    encrypted: flagAt(advanced, 'encrypted'),
    instant_vm: false,
    vtool_installed: 0,
    az_id: inventory.az.id,
    cluster_id: inventory.cluster.id,
    host_id: inventory.host.id,
    storage_id: inventory.storage.id,
    storage_name: inventory.storage.name,
    group_id: textAt(vmconf, 'group_id'),
    project_id: '',
    created_at: vm.createdAt,
    backup_policy_enable: 0,
    backup_file_count: 0,
    in_protection: 0,
    disks: vm.disks.map(disk => ({
      id: disk.id,
      type: types.get(disk.id) || 'new_disk',
      size_mb: disk.size / MIB,
      size_gb: disk.size / (1024 * MIB),
      size_bytes: disk.size,
      storage_id: inventory.storage.id,
      storage_name: inventory.storage.name,
      storage_file: `${vm.id}/${disk.id}.img`,
      preallocate: 'off',
      use_virtio: disk.id.startsWith('virtio') ? 1 : 0,
    })),
    networks: Array.isArray(hardware.network_adapters) ? hardware.network_adapters : [],
  }
}
