import type { SnapshotRecord, VmRecord } from '../datastore/datastore.ts'
import { HciError } from '../errors.ts'
import { snapshotNotes } from '../servers/vm-config.ts'

/**
 * The create call answers a snapshot's id before the snapshot is there, the datastore names it when it is. So a snapshot may have an id of ours
 * in its notes; both lead to it, ours is the one that goes out.
 */
export function snapshotIdOf(vm: VmRecord, snapshot: SnapshotRecord): string {
  return snapshotNotes(vm, snapshot.id).id ?? snapshot.id
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
