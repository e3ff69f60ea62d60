import type { PlatformDisk, VmConfig } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { describeAsMade } from '../made-with.ts'
import { diskExclusion } from './vm-view.ts'

/**
 * What we keep of a VM's configuration: `vmconf` of the snapshot's detail, whole, and beside it the `az_id` that a creation needs and that
 * only the VM's own detail names.
 */
export function savedConfig(vmconf: Record<string, unknown>, azId: string | undefined): VmConfig {
  return azId === undefined ? vmconf : { ...vmconf, az_id: azId }
}

/** Where a new VM can live, as the platform lists it now. */
export interface Places {
  readonly azs: readonly string[]
  readonly datastores: readonly string[]
  readonly hosts: readonly string[]
}

/**
 * The body of `POST servers/config`: the saved configuration, where it was if that place still exists, without what belongs to the old VM alone
 * (interface and port ids, MAC addresses, templates and base images: the new disks are empty and get all their data).
 */
export function newVmBody(
  config: VmConfig,
  { name, clientToken }: { readonly name: string; readonly clientToken: string },
  places: Places,
): Record<string, unknown> {
  const hardware = objectAt(config, 'hardware_option')
  const { template_id: _template, host_id: hostId, ...rest } = config
  const { network_adapters: adapters, ...otherHardware } = hardware
  return {
    ...rest,
    ...(typeof hostId === 'string' && places.hosts.includes(hostId) ? { host_id: hostId } : {}),
    name,
    description: describeAsMade(config.description, clientToken),
    az_id: kept(config.az_id, places.azs, 'resource pool'),
    datastore_id: kept(config.datastore_id, places.datastores, 'datastore'),
    os_option: objectAt(config, 'os_option'),
    hardware_option: {
      ...otherHardware,
      disks: diskEntries(config).map(newDisk),
      ...(Array.isArray(adapters) ? { network_adapters: adapters.map(newAdapter) } : {}),
    },
  }
}

/**
 * The body of `PUT servers/{id}/config` that brings an existing VM's editable configuration back. Run location and datastore can't be changed;
 * of the disks only those that are missing, smaller than they were or carry limits are named: a disk that has grown since keeps
 * its size, and what is behind the old end.
 */
export function changeOfVm(config: VmConfig, current: readonly PlatformDisk[]): Record<string, unknown> {
  const hardware = objectAt(config, 'hardware_option')
  const sizes = new Map(current.map(disk => [disk.id, disk.size]))
  const disks = diskEntries(config).flatMap(disk => {
    const size = sizes.get(String(disk.device_id))
    if (size === undefined || size < diskSizeOf(disk)) return [disk]
    return disk.io_config === undefined ? [] : [{ device_id: disk.device_id, io_config: disk.io_config }]
  })
  return {
    ...pick(config, ['description', 'group_id', 'os_option', 'advanced_option']),
    hardware_option: { ...pick(hardware, ['cpu', 'memory', 'bios', 'network_adapters']), ...(disks.length === 0 ? {} : { disks }) },
  }
}

/** The disks that a backup covers; shared, physical and RDM disks are somebody else's. */
export function diskEntries(config: VmConfig): readonly Record<string, unknown>[] {
  const disks = objectAt(config, 'hardware_option').disks
  if (disks === undefined) return []
  if (!Array.isArray(disks) || disks.length > 1024) throw invalid('hardware_option.disks is not a list')
  return disks.map(object).filter(disk => diskExclusion(typeof disk.type === 'string' ? disk.type : undefined) === undefined)
}

/** Bytes of a disk of the configuration: exact where the platform says so (`size_bytes`, the reference platform's), else whole GB. */
export function diskSizeOf(disk: Readonly<Record<string, unknown>>): number {
  const size = disk.size_bytes ?? Number(disk.size_gb ?? Number.NaN) * 1024 ** 3
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`the size of disk ${String(disk.device_id).slice(0, 100)} is missing or not whole bytes`)
  }
  return size
}

/** A slot says little about what is in it; the serial number does, where the platform gives one. */
export function identityOf(disk: Readonly<Record<string, unknown>>): { readonly identity?: string } {
  const { advanced_config: config } = disk
  const serial = typeof config === 'object' && config !== null ? (config as Record<string, unknown>).serial_number : undefined
  return typeof serial === 'string' && serial !== '' && serial.length <= 200 ? { identity: serial } : {}
}

/** Without what was the old disk's alone. */
function newDisk({ base_image_id: _image, advanced_config: config, ...disk }: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (config === undefined) return disk
  const { serial_number: _serial, ...rest } = object(config)
  return { ...disk, advanced_config: rest }
}

function newAdapter(adapter: unknown): Record<string, unknown> {
  const { vif_id: _vif, port_id: _port, mac_address: _mac, ...rest } = object(adapter)
  return rest
}

function kept(wanted: unknown, existing: readonly string[], what: string): string {
  if (typeof wanted === 'string' && existing.includes(wanted)) return wanted
  const first = existing[0] ?? (typeof wanted === 'string' ? wanted : undefined)
  if (first === undefined) throw new PlatformError('PLATFORM_REFUSED', `create VM: the platform has no ${what}`)
  return first
}

function objectAt(config: VmConfig, key: string): Record<string, unknown> {
  return config[key] === undefined ? {} : object(config[key])
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('a part of it is not an object')
  return value as Record<string, unknown>
}

function pick(config: VmConfig, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).filter(([key]) => keys.includes(key)))
}

function invalid(reason: string): PlatformError {
  return new PlatformError('PLATFORM_ANSWER_INVALID', `VM configuration: ${reason}`)
}
