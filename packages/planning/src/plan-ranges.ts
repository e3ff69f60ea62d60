import { pageBytes, pageCount } from '@varve/block-map'
import type { Extent } from '@varve/cbt'
import { type PlannedRange, RangeBuilder } from './range-builder.ts'
import { DEFAULT_LIMITS, type DiskGeometry, type RangeLimits } from './range-limits.ts'

/**
 * Ranges over what changed (or is allocated), as the extents come in, page by page of the platform's answer. In order, disjoint,
 * each page in one range. The extents keep the bytes that were named; whoever reads widens them to whole blocks.
 *
 * @throws PlanningError EXTENTS_INVALID
 */
export async function* planRanges(
  areas: AsyncIterable<readonly Extent[]> | Iterable<readonly Extent[]>,
  geometry: DiskGeometry,
  limits: RangeLimits = DEFAULT_LIMITS,
): AsyncGenerator<PlannedRange> {
  const builder = new RangeBuilder(geometry, limits)
  for await (const extents of areas) {
    for (const extent of extents) yield* builder.add(extent)
  }
  yield* builder.finish()
}

/** Ranges that a disk is cut into at most, when nothing is known of what it holds. */
const WHOLE_DISK_RANGES = 1024

/**
 * Ranges over a whole disk of unknown density. Mostly empty or full to the brim, its holes show only while reading, so the number of
 * ranges is bounded instead of their bytes: a page each up to 256 GiB, 252 pages each at 63 TB.
 */
export function* planWholeDisk(geometry: DiskGeometry, limits: RangeLimits = DEFAULT_LIMITS): Generator<PlannedRange> {
  const { diskSize, blockSize } = geometry
  const pages = pageCount(diskSize, blockSize)
  const step = Math.min(limits.maxPages, Math.ceil(pages / WHOLE_DISK_RANGES))
  for (let firstPage = 0, index = 0; firstPage < pages; firstPage += step, index++) {
    const count = Math.min(step, pages - firstPage)
    const offset = firstPage * pageBytes(blockSize)
    const length = Math.min(count * pageBytes(blockSize), diskSize - offset)
    yield { index, firstPage, pageCount: count, extents: [{ offset, length }], bytes: length }
  }
}
