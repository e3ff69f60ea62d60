import type { SnapshotRecord, VmRecord } from '../datastore/datastore.ts'
import { flagAt, objectAt, textAt, type VmConf, withDisks } from './vm-conf.ts'

/** Edits of a snapshot, by the datastore's id. */
export interface SnapshotNotes {
  readonly name?: string
  readonly description?: string
  readonly is_protected?: 0 | 1
}

/** What a snapshot takes along from the moment it is made, see snapshots/snapshot-id.ts. */
export interface SnapshotMark {
  /** The id that goes out. */
  readonly id: string
  /** `qcow2` = internal: taken like any other, but it bars the VM from agentless backup, as on SCP. */
  readonly type: string
}

/** The part of a VmRecord that the datastore keeps for us: `config`. */
export interface VmConfig {
  readonly vmconf: VmConf
  readonly suspended: boolean
  readonly vmNumber: number
  readonly snapshotNotes: Readonly<Record<string, SnapshotNotes>>
  readonly nextSnapshot?: SnapshotMark
}

export function vmConfigOf(config: Readonly<Record<string, unknown>>): VmConfig {
  const mark = config.nextSnapshot as SnapshotMark | undefined
  return {
    vmconf: objectAt(config, 'vmconf'),
    suspended: flagAt(config, 'suspended'),
    vmNumber: typeof config.vmNumber === 'number' ? config.vmNumber : 0,
    snapshotNotes: objectAt(config, 'snapshotNotes') as VmConfig['snapshotNotes'],
    ...(mark === undefined ? {} : { nextSnapshot: mark }),
  }
}

export function storedVmConfig(config: VmConfig): Record<string, unknown> {
  return { ...config }
}

/** `vmconf` of the VM as it was at the snapshot. */
export function snapshotVmConf(vm: VmRecord, snapshot: SnapshotRecord): VmConf {
  const conf = vmConfigOf(snapshot.config).vmconf
  return { ...withDisks(conf, snapshot.disks), name: textAt(conf, 'name') || vm.name }
}

export function snapshotNotes(vm: VmRecord, snapshotId: string): SnapshotNotes {
  return vmConfigOf(vm.config).snapshotNotes[snapshotId] ?? {}
}
