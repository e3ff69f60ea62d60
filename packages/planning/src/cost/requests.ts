/** Requests to the repository that a backup makes, counted from its ranges as DESIGN.md lays packs, maps, roots and manifest out. */

const MiB = 1024 * 1024

/** Frames of one pack: it is sent once it holds so many. */
const PACK_BYTES = 24 * MiB
/** Packs, and maps, that are read back before a point is sealed, unless set otherwise; a pack takes four gets. */
const READ_BACK = 16
const GETS_PER_PACK = 4

/** What one range job does, as far as requests go. */
export interface RangeVolume {
  /** Bytes of the disk. */
  readonly read: number
  /** Pages that its extents touch. */
  readonly pages: number
}

export interface RequestCount {
  readonly puts: number
  readonly gets: number
}

/** @param ratio bytes stored for each byte read; `onParent`: are there pages of a parent to start from? */
export function countBackupRequests(ranges: Iterable<RangeVolume>, ratio: number, onParent: boolean): RequestCount {
  let packs = 0
  let maps = 0
  let pages = 0
  for (const range of ranges) {
    // All holes: what was there becomes zero, which needs no object.
    if (range.read === 0) continue
    packs += Math.ceil((range.read * ratio) / PACK_BYTES)
    maps += 1
    pages += range.pages
  }
  const readBack = Math.min(packs, READ_BACK) * GETS_PER_PACK + Math.min(maps, READ_BACK)
  // The root is read back; that of a parent is looked at before, and read again for the new one.
  return { puts: packs + maps + 1, gets: readBack + 1 + (onParent ? pages + 2 : 0) }
}
