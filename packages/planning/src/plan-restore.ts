import { pageBytes, pageCount } from '@varve/block-map'
import type { PlannedRange } from './range-builder.ts'
import { DEFAULT_LIMITS, type DiskGeometry, type RangeLimits } from './range-limits.ts'

/** A page of the block map that is not all zero. */
export interface StoredPage {
  readonly pageIndex: number
  readonly storedBlocks: number
}

/**
 * Ranges that bring a whole disk back from its block map.
 *
 * - `onto: 'empty'` (a new VM): only pages that hold something; no extents, which means "the blocks that are not zero".
 * - `onto: 'unknown'` (a disk that may hold anything): every byte of the disk is in exactly one range's extent, because what is
 *   zero in the block map must become zero on the disk.
 *
 * `bytes` counts stored blocks only: zeros cost next to nothing to write.
 *
 * @param pages ascending, as in a root
 */
export function* planRestore(
  pages: Iterable<StoredPage>,
  geometry: DiskGeometry,
  onto: 'empty' | 'unknown',
  limits: RangeLimits = DEFAULT_LIMITS,
): Generator<PlannedRange> {
  const wanted = onto === 'empty' ? pages : everyPage(pages, pageCount(geometry.diskSize, geometry.blockSize))
  let index = 0
  let open: { firstPage: number; lastPage: number; pages: number; bytes: number } | undefined
  for (const { pageIndex, storedBlocks } of wanted) {
    if (onto === 'empty' && storedBlocks === 0) continue
    const bytes = storedBytes(geometry, pageIndex, storedBlocks)
    if (open !== undefined && (open.pages >= limits.maxPages || open.bytes + bytes > limits.maxBytes)) {
      yield toRange(open, index++, geometry, onto)
      open = undefined
    }
    open ??= { firstPage: pageIndex, lastPage: pageIndex, pages: 0, bytes: 0 }
    open.lastPage = pageIndex
    open.pages += 1
    open.bytes += bytes
  }
  if (open !== undefined) yield toRange(open, index, geometry, onto)
}

function* everyPage(stored: Iterable<StoredPage>, count: number): Generator<StoredPage> {
  let next = 0
  for (const page of stored) {
    while (next < page.pageIndex) yield { pageIndex: next++, storedBlocks: 0 }
    yield page
    next = page.pageIndex + 1
  }
  while (next < count) yield { pageIndex: next++, storedBlocks: 0 }
}

/** Bytes of a page's stored blocks; the last page of a disk can't hold more than is left of the disk. */
function storedBytes({ diskSize, blockSize }: DiskGeometry, pageIndex: number, storedBlocks: number): number {
  return Math.max(0, Math.min(storedBlocks * blockSize, diskSize - pageIndex * pageBytes(blockSize)))
}

function toRange(
  open: { readonly firstPage: number; readonly lastPage: number; readonly bytes: number },
  index: number,
  { diskSize, blockSize }: DiskGeometry,
  onto: 'empty' | 'unknown',
): PlannedRange {
  const { firstPage, lastPage, bytes } = open
  const offset = firstPage * pageBytes(blockSize)
  const length = Math.min((lastPage + 1) * pageBytes(blockSize), diskSize) - offset
  return { index, firstPage, pageCount: lastPage - firstPage + 1, extents: onto === 'empty' ? [] : [{ offset, length }], bytes }
}
