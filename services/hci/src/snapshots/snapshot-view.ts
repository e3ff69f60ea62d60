import type { SnapshotRecord, VmRecord } from '../datastore/datastore.ts'
import { snapshotNotes, snapshotVmConf } from '../servers/vm-config.ts'
import { EXTERNAL, markOf, snapshotIdOf } from './snapshot-id.ts'

/** A snapshot as the list answers it. `size` is bytes (our choice). */
export function snapshotItem(vm: VmRecord, snapshot: SnapshotRecord): Record<string, unknown> {
  const index = vm.snapshots.indexOf(snapshot)
  const parent = vm.snapshots[index - 1]
  return {
    ...common(vm, snapshot),
    status: 'normal',
    is_latest: index === vm.snapshots.length - 1,
    parent_id: parent === undefined ? '' : snapshotIdOf(vm, parent),
    quiesced: false,
    disks: snapshot.disks.map(({ id, size }) => ({ id, size, type: 'new_disk' })),
  }
}

/** Detail: with the checkpoint id, as text, and the VM's configuration at that instant. `pause_ms` is ours: how long writes were held. */
export function snapshotDetail(vm: VmRecord, snapshot: SnapshotRecord): Record<string, unknown> {
  return {
    ...common(vm, snapshot),
    checkpoint_id: snapshot.checkpointId,
    vmconf: snapshotVmConf(vm, snapshot),
    pause_ms: snapshot.pauseMs,
  }
}

function common(vm: VmRecord, snapshot: SnapshotRecord): Record<string, unknown> {
  const notes = snapshotNotes(vm, snapshot.id)
  return {
    id: snapshotIdOf(vm, snapshot),
    name: notes.name ?? snapshot.name,
    description: notes.description ?? snapshot.description,
    type: markOf(vm, snapshot)?.type ?? EXTERNAL,
    created_at: snapshot.createdAt,
    is_protected: notes.is_protected ?? 0,
  }
}
