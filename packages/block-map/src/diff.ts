import { BlockMapError } from './errors.ts'
import type { Page } from './page.ts'
import type { Root } from './root.ts'

/**
 * Indexes of the pages in which two versions of a disk differ, ascending. Disks may differ in size; a page that only one of
 * them has counts unless it is all zero.
 *
 * @throws BlockMapError GEOMETRY_INVALID when the block sizes differ.
 */
export function diffPages(a: Root, b: Root): number[] {
  if (a.blockSize !== b.blockSize) throw new BlockMapError('GEOMETRY_INVALID', 'maps of different block sizes cannot be compared')
  const different: number[] = []
  let i = 0
  let j = 0
  while (i < a.pages.length || j < b.pages.length) {
    const pageA = i < a.pages.length ? a.pages.pageIndexAt(i) : Infinity
    const pageB = j < b.pages.length ? b.pages.pageIndexAt(j) : Infinity
    const index = Math.min(pageA, pageB)
    const inA = pageA === index
    const inB = pageB === index
    if (!inA || !inB || !a.pages.hashAt(i).equals(b.pages.hashAt(j))) different.push(index)
    if (inA) i += 1
    if (inB) j += 1
  }
  return different
}

/** Indexes, inside the page, of the blocks in which two versions of it differ. Blocks that only one has count unless zero. */
export function diffBlocks(a: Page, b: Page): number[] {
  const different: number[] = []
  for (let i = 0; i < Math.max(a.blockCount, b.blockCount); i++) {
    const entry = b.isZero(i) ? undefined : b.entry(i)
    if (entry === undefined ? !a.isZero(i) : !a.hashEquals(i, entry.hash)) different.push(i)
  }
  return different
}
