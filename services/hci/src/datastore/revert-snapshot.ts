import { DatastoreError } from './errors.ts'
import { createLayer, type Layer, removeLayerFiles } from './layer.ts'
import type { Vm } from './vm.ts'

/**
 * Make the live disks what they were at a snapshot. The VM is off. The snapshot stays, with a new empty overlay; newer
 * snapshots go, since what they lie on goes. Disks added after the snapshot stay as they are. CBT of all disks expires.
 */
export async function revertSnapshot(vm: Vm, snapshotId: string): Promise<void> {
  const snapshot = vm.snapshot(snapshotId)
  if (vm.state.power !== 'off') throw new DatastoreError('VM_NOT_OFF', 'the VM is on', { vmId: vm.state.id })
  const at = vm.state.snapshots.indexOf(snapshot)
  const dropped = vm.state.snapshots.slice(at)
  const reborn = { ...snapshot, generation: snapshot.generation + 1 }

  const made: Layer[] = []
  try {
    for (const { id, size } of snapshot.disks) {
      const layer = await createLayer(vm.overlayPath(id, reborn), snapshot.id, size, vm.deps)
      made.push(layer)
      await layer.sync()
    }
    vm.deps.step('revert-prepared')
    for (const { tracker } of vm.disks.values()) tracker?.expire(new DatastoreError('CBT_EXPIRED', 'the VM was reverted'))
    await vm.commit({
      ...vm.state,
      config: snapshot.config,
      disks: vm.state.disks.map(disk => ({ ...disk, cbtExpired: disk.cbt })),
      snapshots: [...vm.state.snapshots.slice(0, at), reborn],
    })
  } catch (error) {
    for (const layer of made) {
      await layer.close()
      await removeLayerFiles(layer.path, layer.data.size)
    }
    throw error
  }
  for (const layer of made) await layer.close()
  vm.deps.step('revert-committed')
  await vm.reopenDisks()
  for (const disk of vm.state.disks) {
    for (const old of dropped) {
      if (old.disks.some(candidate => candidate.id === disk.id)) await removeLayerFiles(vm.overlayPath(disk.id, old), disk.size)
    }
  }
}
