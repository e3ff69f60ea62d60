import type { SnapshotRecord, VmRecord } from '../datastore/datastore.ts'
import { HciError } from '../errors.ts'
import { type SnapshotMark, vmConfigOf } from '../servers/vm-config.ts'

/** Kinds of snapshot: every one is external unless it was asked to be internal. */
export const EXTERNAL = 'external_qcow2'
export const INTERNAL = 'qcow2'

/**
 * The create call answers a snapshot's id before the snapshot is there, but the datastore names it when it is. So the id is put into the VM's
 * configuration first, which every snapshot takes along: the two come to be in one commit. Both ids lead to the snapshot, ours is the
 * one that goes out. A snapshot made past the calls may carry the mark of another one: the first that has it owns it.
 */
export function markOf(vm: VmRecord, snapshot: SnapshotRecord): SnapshotMark | undefined {
  const mark = vmConfigOf(snapshot.config).nextSnapshot
  if (mark === undefined) return undefined
  return vm.snapshots.find(s => vmConfigOf(s.config).nextSnapshot?.id === mark.id)?.id === snapshot.id ? mark : undefined
}

export function snapshotIdOf(vm: VmRecord, snapshot: SnapshotRecord): string {
  return markOf(vm, snapshot)?.id ?? snapshot.id
}

export function findSnapshot(vm: VmRecord, id: string): SnapshotRecord | undefined {
  return vm.snapshots.find(snapshot => snapshot.id === id || snapshotIdOf(vm, snapshot) === id)
}

/** SNAPSHOT_NOT_FOUND when there is none. */
export function requireSnapshot(vm: VmRecord, id: string): SnapshotRecord {
  const snapshot = findSnapshot(vm, id)
  if (snapshot === undefined) throw new HciError('SNAPSHOT_NOT_FOUND', `the VM has no snapshot ${id}`)
  return snapshot
}
