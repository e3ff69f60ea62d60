import { HciError } from '../errors.ts'
import { inventory } from '../inventory/inventory.ts'
import { GB } from '../options.ts'

/**
 * A VM's configuration in SCP's `vmconf` shape. Unknown fields are kept and come back. Two fields are ours: each entry of `hardware_option.disks`
 * has `size_bytes` (exact) beside `size_gb`, and may have `type` (the disk type of the VM list: `share_disk`, …).
 */
export type VmConf = Readonly<Record<string, unknown>>

export interface DiskSize {
  readonly id: string
  /** Bytes. */
  readonly size: number
  /** Of this very disk; goes out as `advanced_config.serial_number`. */
  readonly serial?: string
}

export interface DiskLimits {
  readonly minimum: number
  readonly maximum: number
}

const MOST_DISKS = 64
const DISK_ID = /^(ide|virtio|scsi|sata)\d{1,2}$/

export function objectAt(conf: VmConf, key: string): VmConf {
  const value = conf[key]
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as VmConf) : {}
}

/** Text of a field, `''` when it is something else. */
export function textAt(conf: VmConf, key: string): string {
  const value = conf[key]
  return typeof value === 'string' ? value : ''
}

/** Booleans are true/false in one example of the SCP OpenAPI and 0/1 in another. */
export function flagAt(conf: VmConf, key: string): boolean {
  const value = conf[key]
  return value === true || value === 1 || value === '1'
}

/** The raw entries of `hardware_option.disks`. VM_CONFIG_INVALID when it is not a list of objects with distinct ids. */
export function diskEntries(conf: VmConf): readonly VmConf[] {
  const disks = objectAt(conf, 'hardware_option').disks
  if (disks === undefined) return []
  if (!Array.isArray(disks)) throw invalid('hardware_option.disks must be a list')
  if (disks.length > MOST_DISKS) throw invalid(`a VM has at most ${MOST_DISKS} disks`)
  const seen = new Set<string>()
  for (const disk of disks as unknown[]) {
    if (typeof disk !== 'object' || disk === null || Array.isArray(disk))
      throw invalid('an entry of hardware_option.disks is not an object')
    const id = textAt(disk as VmConf, 'device_id')
    if (!DISK_ID.test(id)) throw invalid(`device_id ${JSON.stringify(id)} must be a slot such as virtio0 or ide1`)
    if (seen.has(id)) throw invalid(`device_id ${id} occurs twice`)
    seen.add(id)
  }
  return disks as VmConf[]
}

/** Size of one entry in bytes, undefined when it names none. DISK_SIZE_INVALID when it can't be. */
export function diskSize(entry: VmConf, limits: DiskLimits): number | undefined {
  const { size_bytes, size_gb } = entry
  if (size_bytes === undefined && size_gb === undefined) return undefined
  const size = size_bytes === undefined ? Number(size_gb) * GB : size_bytes
  const id = textAt(entry, 'device_id')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size <= 0 || size % 512 !== 0) {
    throw new HciError('DISK_SIZE_INVALID', `the size of disk ${id} must be a positive multiple of 512 bytes`, { diskId: id })
  }
  if (size < limits.minimum || size > limits.maximum) {
    throw new HciError('DISK_SIZE_INVALID', `the size of disk ${id} must be between ${limits.minimum} and ${limits.maximum} bytes`, {
      diskId: id,
      size,
    })
  }
  return size
}

/** The disks that a new VM gets. */
export function newDisks(conf: VmConf, limits: DiskLimits): readonly DiskSize[] {
  return diskEntries(conf).map(entry => {
    const size = diskSize(entry, limits)
    const id = textAt(entry, 'device_id')
    if (size === undefined) throw new HciError('DISK_SIZE_INVALID', `disk ${id} has neither size_gb nor size_bytes`)
    return { id, size }
  })
}

/** `change` laid over `conf`: objects field by field, lists as a whole, disks by their `device_id`; a disk that `change` leaves out stays. */
export function mergeVmConf(conf: VmConf, change: VmConf): VmConf {
  const merged = merge(conf, change)
  const disks = new Map(diskEntries(conf).map(entry => [textAt(entry, 'device_id'), entry]))
  for (const entry of diskEntries(change)) {
    const id = textAt(entry, 'device_id')
    const before = disks.get(id) ?? {}
    // A new size_gb alone must win over the exact size that was there.
    const { size_bytes: _, ...rest } = before
    disks.set(id, merge('size_gb' in entry && !('size_bytes' in entry) ? rest : before, entry))
  }
  return { ...merged, hardware_option: { ...objectAt(merged, 'hardware_option'), disks: [...disks.values()] } }
}

/** The configuration with the true size of each disk; entries for disks that are not there are dropped. */
export function withDisks(conf: VmConf, disks: readonly DiskSize[]): VmConf {
  const entries = new Map(diskEntries(conf).map(entry => [textAt(entry, 'device_id'), entry]))
  return {
    ...conf,
    hardware_option: {
      ...objectAt(conf, 'hardware_option'),
      disks: disks.map(({ id, size, serial }) => ({
        disk_type: 'VIRTUALDISK',
        adapter_type: id.startsWith('ide') ? 'IDE' : 'VIRTIO',
        ...entries.get(id),
        device_id: id,
        size_gb: size / GB,
        size_bytes: size,
        ...(serial === undefined
          ? {}
          : { advanced_config: { ...objectAt(entries.get(id) ?? {}, 'advanced_config'), serial_number: serial } }),
      })),
    },
  }
}

/** A plausible configuration for a VM that comes from an image. */
export function plainVmConf(name: string, disks: readonly DiskSize[]): VmConf {
  return withDisks(
    {
      name,
      description: '',
      group_id: 'default',
      host_id: inventory.host.id,
      datastore_id: inventory.storage.id,
      application: 'compute',
      os_option: { arch: 'x86_64', distribution_name: 'Linux', kernel_name: 'linux' },
      advanced_option: { encrypted: false, tpm_enabled: false, ha_enabled: true, turbo_mode_enabled: false },
      hardware_option: { bios: { bios_type: 'SEABIOS' }, cpu: { cores: 2, sockets: 1 }, memory: { size_gb: 2 }, network_adapters: [] },
    },
    disks,
  )
}

function merge(before: VmConf, change: VmConf): VmConf {
  const result: Record<string, unknown> = { ...before }
  for (const [key, value] of Object.entries(change)) {
    const old = result[key]
    result[key] = isObject(old) && isObject(value) ? merge(old, value) : value
  }
  return result
}

function isObject(value: unknown): value is VmConf {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(message: string): HciError {
  return new HciError('VM_CONFIG_INVALID', message)
}
