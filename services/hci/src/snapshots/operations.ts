import { randomUUID } from 'node:crypto'
import type { SnapshotRecord, VmRecord } from '../datastore/datastore.ts'
import { type Platform, startVmTask } from '../platform.ts'
import { type SnapshotNotes, storedVmConfig, vmConfigOf } from '../servers/vm-config.ts'
import type { Task } from '../tasks/task.ts'
import { EXTERNAL, INTERNAL, markOf } from './snapshot-id.ts'

interface NewSnapshot {
  readonly name: string
  readonly description?: string
  readonly snap_type?: string
}

/** The id is usable when the task has finished. */
export async function startCreate(
  platform: Platform,
  vm: VmRecord,
  wanted: NewSnapshot,
  user: string,
): Promise<{ readonly task: Task; readonly snapshotId: string }> {
  const id = randomUUID()
  const task = await startVmTask(platform, vm, { action: 'snapshot_create', description: `create snapshot ${wanted.name}`, user }, () =>
    create(platform, vm.id, wanted, id),
  )
  return { task, snapshotId: id }
}

async function create(platform: Platform, vmId: string, { name, description, snap_type }: NewSnapshot, id: string): Promise<void> {
  const { datastore, log } = platform
  const before = datastore.getVm(vmId)
  // A VM holds one kind at a time, and one that has internal snapshots goes on making those.
  const internal = snap_type === INTERNAL || before.snapshots.some(s => markOf(before, s)?.type === INTERNAL)
  const nextSnapshot = { id, type: internal ? INTERNAL : EXTERNAL }
  await datastore.updateVm(vmId, { config: storedVmConfig({ ...vmConfigOf(before.config), nextSnapshot }) })
  const { checkpointId, pauseMs } = await datastore.createSnapshot(vmId, { name, ...(description === undefined ? {} : { description }) })
  log.info({ vmId, snapshotId: id, checkpointId, pauseMs }, 'snapshot created')
}

/** One after the other, in the order given; the first failure ends the task. */
export function startDelete(platform: Platform, vm: VmRecord, snapshots: readonly SnapshotRecord[], user: string): Promise<Task> {
  const description = `delete ${snapshots.length} snapshot${snapshots.length === 1 ? '' : 's'}`
  return startVmTask(platform, vm, { action: 'snapshot_delete', description, user }, async ({ signal, progress }) => {
    for (const [index, snapshot] of snapshots.entries()) {
      await platform.datastore.deleteSnapshot(vm.id, snapshot.id, {
        signal,
        onProgress: fraction => progress((index + fraction) / snapshots.length),
      })
      await forgetSnapshot(platform, vm.id, snapshot.id)
    }
  })
}

/** The VM goes back to the snapshot: data and configuration. Its CBT expires, newer snapshots are gone. */
export function startRevert(platform: Platform, vm: VmRecord, snapshot: SnapshotRecord, powerOn: boolean, user: string): Promise<Task> {
  const { datastore, guests } = platform
  return startVmTask(platform, vm, { action: 'snapshot_recovery', description: 'recover VM from snapshot', user }, async () => {
    await guests.closeVm(vm)
    // The datastore brings the whole stored configuration back, but the name of the VM and edits of snapshots are younger.
    const { snapshotNotes: notes } = vmConfigOf(datastore.getVm(vm.id).config)
    await datastore.revertSnapshot(vm.id, snapshot.id)
    const reverted = datastore.getVm(vm.id)
    const kept = Object.fromEntries(Object.entries(notes).filter(([id]) => reverted.snapshots.some(s => s.id === id)))
    const config = vmConfigOf(reverted.config)
    await datastore.updateVm(vm.id, {
      config: storedVmConfig({ ...config, vmconf: { ...config.vmconf, name: vm.name }, suspended: false, snapshotNotes: kept }),
      ...(powerOn ? { power: 'on' as const } : {}),
    })
  })
}

export async function noteSnapshot({ datastore }: Platform, vmId: string, snapshotId: string, notes: SnapshotNotes): Promise<void> {
  const config = vmConfigOf(datastore.getVm(vmId).config)
  const merged = { ...config.snapshotNotes[snapshotId], ...notes }
  await datastore.updateVm(vmId, {
    config: storedVmConfig({ ...config, snapshotNotes: { ...config.snapshotNotes, [snapshotId]: merged } }),
  })
}

async function forgetSnapshot({ datastore }: Platform, vmId: string, snapshotId: string): Promise<void> {
  const config = vmConfigOf(datastore.getVm(vmId).config)
  if (!(snapshotId in config.snapshotNotes)) return
  const { [snapshotId]: _, ...snapshotNotes } = config.snapshotNotes
  await datastore.updateVm(vmId, { config: storedVmConfig({ ...config, snapshotNotes }) })
}
