import fs from 'node:fs'
import { granuleCount } from '@varve/cbt'
import { CbtStore } from './cbt-store.ts'
import { cbtExpired } from './errors.ts'
import { MapFile } from './map-file.ts'
import { bitmapName, cbtName, foldingName } from './names.ts'
import { Tracker } from './tracker.ts'
import type { Vm } from './vm.ts'
import type { DiskState } from './vm-file.ts'

/**
 * Take up the tracking of a disk where the last process left it, finishing a fold that was cut off. What can't be told to
 * be whole throws; the caller then expires it.
 *
 * Files after kill -9 in a snapshot that ends inc n and begins n+1 (each bitmap names the inc it will be folded under):
 *
 *     record says   .folding   .bitmap     what happened             what to do
 *     n-1           -          n           before the freeze         nothing
 *     n-1           n          -           between two renames       take .folding back as .bitmap
 *     n-1           n          n+1 empty   before the commit         same (the new one had no writes: they were held)
 *     n             n          n+1         after the commit          fold
 *     n             -          n+1         after the fold            nothing
 */
export async function recoverTracker(vm: Vm, disk: DiskState): Promise<Tracker> {
  const { cache } = vm.deps
  const bitmapPath = vm.path(bitmapName(disk.id))
  const foldingPath = vm.path(foldingName(disk.id))
  const inc = vm.state.incId
  const cbt = openCbt(vm, disk)
  let bitmap: MapFile | undefined
  let folding: MapFile | undefined
  try {
    if (fs.existsSync(foldingPath)) folding = MapFile.open(foldingPath, 'dirty-bitmap', cache)
    if (folding?.header.targetInc === inc + 1) {
      if (fs.existsSync(bitmapPath)) {
        const fresh = MapFile.open(bitmapPath, 'dirty-bitmap', cache)
        const written = fresh.map.nextRun(0, granuleCount(disk.size)) !== undefined
        fresh.close()
        if (written) throw cbtExpired({ diskId: disk.id, why: 'two bitmaps of one interval' })
      }
      fs.renameSync(foldingPath, bitmapPath)
      folding.close()
      folding = undefined
    }
    bitmap = MapFile.open(bitmapPath, 'dirty-bitmap', cache)
    const tracker = new Tracker(bitmap, cbt, vm.trackerExpired)
    if (bitmap.header.targetInc !== inc + 1 || bitmap.header.diskSize !== disk.size) {
      throw cbtExpired({ diskId: disk.id, why: 'the bitmap belongs to another interval' })
    }
    checkBitmap(bitmap, disk.size)
    if (folding !== undefined) {
      if (folding.header.targetInc !== inc || folding.header.diskSize !== disk.size) {
        throw cbtExpired({ diskId: disk.id, why: 'the folding bitmap belongs to another interval' })
      }
      tracker.folding = folding
      await finishFold(vm, tracker)
      folding = undefined
    }
    const { header } = cbt
    if (header.incId !== inc || header.folding !== 0)
      throw cbtExpired({ diskId: disk.id, why: 'the CBT file belongs to another checkpoint' })
    return tracker
  } catch (error) {
    bitmap?.close()
    folding?.close()
    cbt.close()
    throw error
  }
}

/** Fold the frozen bitmap of a tracker into its CBT file and remove it. Repeatable. */
export async function finishFold(vm: Vm, tracker: Tracker): Promise<void> {
  const { folding, cbt } = tracker
  if (folding === undefined || cbt === undefined) return
  await cbt.fold(folding, vm.deps.step)
  fs.rmSync(folding.path, { force: true })
  tracker.folding = undefined
  folding.close()
}

/** The CBT file that the record names; a `.new` one that was committed but not renamed counts. */
function openCbt(vm: Vm, disk: DiskState): CbtStore {
  const path = vm.path(cbtName(disk.id))
  const next = `${path}.new`
  if (fs.existsSync(next)) {
    let committed = false
    try {
      const built = CbtStore.open(next)
      committed = built.header.trackingId === disk.trackingId
      built.close()
    } catch {
      // Never finished: it was being built.
    }
    if (committed) fs.renameSync(next, path)
    else fs.rmSync(next)
  }
  const cbt = CbtStore.open(path)
  const { header } = cbt
  if (header.expired || header.trackingId !== disk.trackingId || header.versionId !== vm.state.versionId || header.diskSize !== disk.size) {
    cbt.close()
    throw cbtExpired({ diskId: disk.id, why: 'the CBT file belongs to another generation' })
  }
  return cbt
}

/** Read every page of the bitmap once, so that damage shows now and not at the next snapshot. Costs what was written. */
function checkBitmap(bitmap: MapFile, diskSize: number): void {
  const count = granuleCount(diskSize)
  for (let at = 0; at < count; ) {
    const run = bitmap.map.nextRun(at, count)
    if (run === undefined) return
    at = run.to
  }
}
