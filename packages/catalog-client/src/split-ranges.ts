import { RANGES_PER_CALL } from './schemas.ts'
import type { NewRange } from './types.ts'

/** About 4 MiB of JSON at 45 bytes an extent, well below what the service takes. */
const EXTENTS_PER_CALL = 90_000

/** Parts of a list of ranges that fit into one call each; adding them in turn is the same as adding all. */
export function* splitRanges(ranges: readonly NewRange[]): Generator<readonly NewRange[]> {
  let part: NewRange[] = []
  let extents = 0
  for (const range of ranges) {
    if (part.length > 0 && (part.length === RANGES_PER_CALL || extents + range.extents.length > EXTENTS_PER_CALL)) {
      yield part
      part = []
      extents = 0
    }
    part.push(range)
    extents += range.extents.length
  }
  if (part.length > 0 || ranges.length === 0) yield part
}
