import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { checkpointId, formatCheckpoint, MAX_U32 } from '@varve/cbt'
import { Chain } from './chain.ts'
import { DatastoreError } from './errors.ts'
import { createLayer, type Layer, removeLayerFiles } from './layer.ts'
import type { LiveDisk } from './live-disk.ts'
import { MapFile } from './map-file.ts'
import { bitmapName, foldingName } from './names.ts'
import { finishFold } from './recover-tracker.ts'
import type { Tracker } from './tracker.ts'
import type { Vm } from './vm.ts'
import type { SnapshotState, VmState } from './vm-file.ts'

interface Prepared {
  readonly disk: LiveDisk
  readonly overlay: Layer
  readonly tracker: Tracker | undefined
  /** The empty bitmap of the next interval. */
  readonly fresh: MapFile | undefined
}

/**
 * A snapshot of all disks of the VM at one instant.
 *
 *     prepare   new overlays and empty bitmaps, beside the running disks
 *     hold      no new writes, those in flight finish          ┐
 *     freeze    each bitmap -> .folding, the empty one -> its place  │ pauseMs
 *     commit    vm.json: the snapshot, inc_id + 1              │
 *     switch    writes go to the overlays                      ┘
 *     fold      .folding into the CBT files
 *
 * Killed before the commit it never happened; after it, `open` finishes the fold.
 */
export async function takeSnapshot(vm: Vm, given: { readonly name: string; readonly description?: string }): Promise<SnapshotState> {
  if (vm.state.snapshots.some(snapshot => snapshot.name === given.name)) {
    throw new DatastoreError('NAME_TAKEN', 'the VM has a snapshot of this name', { vmId: vm.state.id, name: given.name })
  }
  for (const disk of vm.disks.values()) if (disk.tracker !== undefined) await fold(vm, disk.tracker)
  const next = draft(vm, given)
  const snapshot = next.snapshots.at(-1)!
  const prepared = await prepare(vm, snapshot, next.incId)
  vm.deps.step('snapshot-prepared')
  const started = performance.now()
  try {
    await vm.gate.hold()
    for (const { disk, tracker, fresh } of prepared) {
      if (tracker !== undefined && fresh !== undefined) freeze(vm, disk.id, tracker, fresh)
    }
    await vm.commit(next)
    vm.deps.step('snapshot-committed')
    for (const { disk, overlay, tracker, fresh } of prepared) {
      disk.chain = new Chain([...disk.chain.layers, overlay], disk.chain)
      if (tracker === undefined || fresh === undefined) continue
      tracker.folding = tracker.bitmap
      tracker.bitmap = fresh
    }
  } catch (error) {
    for (const { disk, tracker, fresh } of prepared) {
      if (tracker !== undefined && fresh !== undefined) unfreeze(vm, disk.id, tracker, fresh)
    }
    vm.gate.resume()
    await discard(prepared)
    throw error
  }
  vm.gate.resume()
  const pauseMs = Math.round((performance.now() - started) * 1000) / 1000
  vm.log.info({ snapshotId: snapshot.id, checkpointId: snapshot.checkpointId, pauseMs, disks: prepared.length }, 'snapshot taken')
  for (const { disk, tracker } of prepared) {
    if (tracker === undefined) continue
    // What fails now is tried again by the next answer or snapshot; the bits are safe in the frozen file.
    await fold(vm, tracker).catch(err => vm.log.error({ diskId: disk.id, err }, 'fold failed'))
  }
  vm.deps.step('snapshot-folded')
  const measured = { ...snapshot, pauseMs }
  await vm.commit({ ...vm.state, snapshots: vm.state.snapshots.map(s => (s.id === snapshot.id ? measured : s)) })
  return measured
}

/** Finish the fold of a tracker, if one is open. A damaged file expires the tracking. */
export async function fold(vm: Vm, tracker: Tracker): Promise<void> {
  await tracker.busy.run(async () => {
    if (tracker.expired || tracker.folding === undefined) return
    try {
      await finishFold(vm, tracker)
    } catch (error) {
      if (error instanceof DatastoreError) throw error
      tracker.expire(error)
    }
  })
}

function draft(vm: Vm, given: { readonly name: string; readonly description?: string }): VmState {
  const { state } = vm
  const tracked = state.disks.some(disk => disk.cbt)
  // At the end of the 32-bit numbers only a reset helps: its new version_id starts a new row of them.
  if (tracked && state.incId >= MAX_U32 - 1) throw new DatastoreError('CBT_EXPIRED', 'The VM CBT has expired. Please reset it.')
  const incId = tracked ? state.incId + 1 : state.incId
  const snapshot: SnapshotState = {
    id: randomUUID(),
    name: given.name,
    description: given.description ?? '',
    createdAt: new Date().toISOString(),
    checkpointId: tracked ? formatCheckpoint(checkpointId({ versionId: state.versionId, incId })) : '0',
    config: state.config,
    disks: state.disks.map(({ id, size, serial }) => ({ id, size, ...(serial === undefined ? {} : { serial }) })),
    pauseMs: 0,
    deleting: false,
    generation: 0,
  }
  return { ...state, incId, snapshots: [...state.snapshots, snapshot] }
}

async function prepare(vm: Vm, snapshot: SnapshotState, incId: number): Promise<Prepared[]> {
  const prepared: Prepared[] = []
  try {
    for (const disk of vm.disks.values()) {
      const tracker = disk.tracker?.expired === false ? disk.tracker : undefined
      const overlay = await createLayer(vm.overlayPath(disk.id, snapshot), snapshot.id, disk.size, vm.deps)
      prepared.push({ disk, overlay, tracker, fresh: undefined })
      await overlay.sync()
      if (tracker === undefined) continue
      const path = vm.path(`${bitmapName(disk.id)}.next`)
      const fresh = MapFile.create(path, { kind: 'dirty-bitmap', diskSize: disk.size, targetInc: incId + 1 }, vm.deps.cache)
      prepared[prepared.length - 1] = { disk, overlay, tracker, fresh }
      await fresh.sync()
    }
    return prepared
  } catch (error) {
    await discard(prepared)
    throw error
  }
}

async function discard(prepared: readonly Prepared[]): Promise<void> {
  for (const { overlay, fresh, disk } of prepared) {
    await overlay.close()
    await removeLayerFiles(overlay.path, disk.size)
    if (fresh === undefined) continue
    fresh.close()
    fs.rmSync(fresh.path, { force: true })
  }
}

/** The running bitmap becomes `.folding`, the empty one takes its place. */
function freeze(vm: Vm, diskId: string, tracker: Tracker, fresh: MapFile): void {
  tracker.bitmap.moveTo(vm.path(foldingName(diskId)))
  vm.deps.step('snapshot-bitmap-frozen')
  fresh.moveTo(vm.path(bitmapName(diskId)))
  vm.deps.step('snapshot-bitmap-fresh')
}

/** Undo `freeze`, however far it came. The empty bitmap is removed by the caller. */
function unfreeze(vm: Vm, diskId: string, tracker: Tracker, fresh: MapFile): void {
  fresh.moveTo(vm.path(`${bitmapName(diskId)}.next`))
  tracker.bitmap.moveTo(vm.path(bitmapName(diskId)))
}
