import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { granuleCount, MAX_U32 } from '@varve/cbt'
import { CbtStore, type GranuleRun } from './cbt-store.ts'
import type { Chain } from './chain.ts'
import { DatastoreError } from './errors.ts'
import type { LiveDisk } from './live-disk.ts'
import { MapFile } from './map-file.ts'
import { bitmapName, cbtName, foldingName } from './names.ts'
import { fold } from './take-snapshot.ts'
import { Tracker } from './tracker.ts'
import type { Vm } from './vm.ts'

/** Switch tracking on for disks that have it off (all when no ids are given). Disks that have it on are left alone. */
export async function enableCbt(vm: Vm, diskIds: readonly string[] | undefined): Promise<void> {
  const ids = (diskIds ?? vm.state.disks.map(disk => disk.id)).filter(id => !vm.diskState(id).cbt)
  if (ids.length > 0) await startTracking(vm, ids, Math.max(1, vm.state.versionId))
}

/** Switch tracking off; its files go. */
export async function disableCbt(vm: Vm, diskIds: readonly string[] | undefined): Promise<void> {
  const ids = (diskIds ?? vm.state.disks.map(disk => disk.id)).filter(id => vm.diskState(id).cbt)
  if (ids.length === 0) return
  await vm.commit(vm.withDisks(ids, disk => ({ ...disk, cbt: false, cbtExpired: false, trackingId: '' })))
  for (const id of ids) {
    const disk = vm.disk(id)
    const { tracker } = disk
    if (tracker !== undefined) {
      await retireTracker(vm, disk, undefined)
    }
    removeTrackingFiles(vm, id)
  }
}

/** A new generation for every disk that has tracking on: older checkpoint ids don't fit any more, a full backup follows. */
export async function resetCbt(vm: Vm): Promise<void> {
  const ids = vm.state.disks.filter(disk => disk.cbt).map(disk => disk.id)
  if (ids.length === 0) return
  if (vm.state.versionId >= MAX_U32) throw new DatastoreError('CBT_EXPIRED', 'no version_id is left; delete and create the VM anew')
  await startTracking(vm, ids, vm.state.versionId + 1)
}

/**
 * Build new CBT files from what is allocated and put them in place with one commit.
 *
 * The bitmap runs first, the scan of the allocation comes second: a grain written while the scan goes on is in one or both.
 * A healthy bitmap runs on (its old bits only say too much); an expired one is replaced.
 */
async function startTracking(vm: Vm, ids: readonly string[], versionId: number): Promise<void> {
  const built: { disk: LiveDisk; tracker: Tracker; store: CbtStore; isNew: boolean }[] = []
  const trackingIds = new Map<string, string>()
  try {
    for (const id of ids) {
      const disk = vm.disk(id)
      // Folding what is frozen may find damage: only then is it known whether the tracking is healthy.
      if (disk.tracker !== undefined) await fold(vm, disk.tracker)
      const healthy = disk.tracker !== undefined && !disk.tracker.expired
      const tracker = healthy ? disk.tracker! : await startBitmap(vm, disk)
      const trackingId = randomBytes(16).toString('hex')
      trackingIds.set(id, trackingId)
      const { incId } = vm.state
      const header = { versionId, incId, baseInc: incId + 1, folding: 0, expired: false, diskSize: disk.size, trackingId }
      const store = await CbtStore.build(vm.path(`${cbtName(id)}.new`), header, allocated(disk.chain, granuleCount(disk.size)))
      built.push({ disk, tracker, store, isNew: !healthy })
    }
    vm.deps.step('cbt-built')
    const next = vm.withDisks(ids, disk => ({ ...disk, cbt: true, cbtExpired: false, trackingId: trackingIds.get(disk.id)! }))
    await vm.commit({ ...next, versionId })
  } catch (error) {
    for (const { disk, store, isNew } of built) {
      store.close()
      fs.rmSync(store.path, { force: true })
      if (isNew) await retireTracker(vm, disk, undefined)
    }
    throw error
  }
  vm.deps.step('cbt-committed')
  for (const { tracker, store } of built) {
    await tracker.busy.run(async () => {
      const old = tracker.cbt
      store.moveTo(store.path.replace(/\.new$/, ''))
      tracker.cbt = store
      old?.close()
    })
    vm.deps.step('cbt-renamed')
  }
}

/** An empty bitmap that takes the bits of the disk's writes from now on. */
async function startBitmap(vm: Vm, disk: LiveDisk): Promise<Tracker> {
  fs.rmSync(vm.path(foldingName(disk.id)), { force: true })
  const path = vm.path(bitmapName(disk.id))
  fs.rmSync(path, { force: true })
  const bitmap = MapFile.create(path, { kind: 'dirty-bitmap', diskSize: disk.size, targetInc: vm.state.incId + 1 }, vm.deps.cache)
  await bitmap.sync()
  const tracker = new Tracker(bitmap, undefined, vm.trackerExpired)
  await retireTracker(vm, disk, tracker)
  return tracker
}

/** Put another tracker (or none) in a tracker's place, between two writes, and close the old one. */
async function retireTracker(vm: Vm, disk: LiveDisk, next: Tracker | undefined): Promise<void> {
  await vm.gate.hold()
  const old = disk.tracker
  disk.tracker = next
  vm.gate.resume()
  if (old !== undefined) await old.busy.run(async () => old.close())
}

export function removeTrackingFiles(vm: Vm, diskId: string): void {
  for (const name of [cbtName(diskId), bitmapName(diskId), foldingName(diskId)]) fs.rmSync(vm.path(name), { force: true })
}

/** Granules that have bytes in some layer, as the live disk sees them. Cost follows what is allocated. */
export function* allocated(chain: Chain, count: number): Generator<GranuleRun> {
  const depth = chain.layers.length
  for (let at = 0; at < count; ) {
    let from = count
    for (const layer of chain.layers) from = Math.min(from, layer.map.map.nextRun(at, from)?.from ?? count)
    if (from >= count) return
    let to = from
    // Cut at a page of the CBT file, so that the caller gets to write in between.
    while (to < count && to - from < 4096 && chain.locate(to, depth) !== undefined) to += 1
    if (to > from) yield { from, to }
    at = Math.max(to, from + 1)
  }
}
