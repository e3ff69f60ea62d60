import { blocksInPage, PAGE_BLOCKS, type Page, pageBytes } from '@varve/block-map'
import type { Extent } from '@varve/cbt'

export interface DiskGeometry {
  readonly diskSize: number
  readonly blockSize: number
}

/** A stored block, and which of its bytes go to the disk (offsets in the disk). */
export interface BlockToWrite {
  readonly blockIndex: number
  readonly page: Page
  readonly entry: number
  readonly parts: readonly Extent[]
}

export interface WritePlan {
  /** By block index. */
  readonly blocks: readonly BlockToWrite[]
  /** What must read as zeros, ascending, neighbours joined. */
  readonly zeros: readonly Extent[]
}

/** A page that is all zero in the image, or could not be read. */
export type PageLookup = (pageIndex: number) => Page | 'zero' | 'damaged'

/**
 * What to write of the pages `firstPage` ... `firstPage + pageCount - 1`.
 *
 * - Without extents the target is empty: each stored block, whole.
 * - With extents every byte in them becomes that of the image, zeros too, and no other byte is touched.
 */
export function planWrites(
  pages: { readonly firstPage: number; readonly pageCount: number; readonly lookup: PageLookup },
  extents: readonly Extent[],
  geometry: DiskGeometry,
): WritePlan {
  return extents.length === 0 ? planStored(pages, geometry) : planExtents(pages.lookup, extents, geometry)
}

function planStored(
  { firstPage, pageCount, lookup }: { readonly firstPage: number; readonly pageCount: number; readonly lookup: PageLookup },
  { diskSize, blockSize }: DiskGeometry,
): WritePlan {
  const blocks: BlockToWrite[] = []
  for (let index = firstPage; index < firstPage + pageCount; index++) {
    const page = lookup(index)
    if (typeof page === 'string') continue
    for (let entry = 0; entry < blocksInPage(diskSize, blockSize, index); entry++) {
      if (page.isZero(entry)) continue
      const blockIndex = index * PAGE_BLOCKS + entry
      const offset = blockIndex * blockSize
      blocks.push({ blockIndex, page, entry, parts: [{ offset, length: Math.min(blockSize, diskSize - offset) }] })
    }
  }
  return { blocks, zeros: [] }
}

function planExtents(lookup: PageLookup, extents: readonly Extent[], geometry: DiskGeometry): WritePlan {
  const { blockSize, diskSize } = geometry
  const blocks = new Map<number, BlockToWrite & { readonly parts: Extent[] }>()
  const zeros: { offset: number; length: number }[] = []
  const addZero = (offset: number, end: number): void => {
    const last = zeros.at(-1)
    if (last !== undefined && last.offset + last.length === offset) last.length = end - last.offset
    else zeros.push({ offset, length: end - offset })
  }
  for (const extent of extents) {
    const extentEnd = Math.min(extent.offset + extent.length, diskSize)
    for (let at = extent.offset; at < extentEnd; ) {
      const pageIndex = Math.floor(at / pageBytes(blockSize))
      const page = lookup(pageIndex)
      if (typeof page === 'string') {
        const end = Math.min(extentEnd, (pageIndex + 1) * pageBytes(blockSize))
        if (page === 'zero') addZero(at, end)
        at = end
        continue
      }
      const blockIndex = Math.floor(at / blockSize)
      const entry = blockIndex % PAGE_BLOCKS
      const end = Math.min(extentEnd, (blockIndex + 1) * blockSize)
      if (page.isZero(entry)) addZero(at, end)
      else {
        const known = blocks.get(blockIndex)
        if (known === undefined) blocks.set(blockIndex, { blockIndex, page, entry, parts: [{ offset: at, length: end - at }] })
        else known.parts.push({ offset: at, length: end - at })
      }
      at = end
    }
  }
  return { blocks: [...blocks.values()], zeros }
}

/**
 * Extents widened to what the server can write (its minimum block size, a power of two of at most one block), joined where
 * they meet. The bytes added are written with what the image has there.
 */
export function alignExtents(extents: readonly Extent[], minimum: number, diskSize: number): readonly Extent[] {
  if (minimum <= 1) return extents
  const aligned: { offset: number; length: number }[] = []
  for (const { offset, length } of extents) {
    const start = offset - (offset % minimum)
    const end = Math.min(Math.ceil((offset + length) / minimum) * minimum, diskSize)
    const last = aligned.at(-1)
    if (last !== undefined && start <= last.offset + last.length) last.length = Math.max(last.offset + last.length, end) - last.offset
    else aligned.push({ offset: start, length: end - start })
  }
  return aligned
}
