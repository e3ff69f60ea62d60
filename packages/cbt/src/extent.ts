/** A byte range of one disk. `offset` and `length` are bytes; `length > 0`. Exact up to 8 PiB. */
export interface Extent {
  readonly offset: number
  readonly length: number
}

/**
 * Join extents that touch or overlap, so that each byte is read once.
 *
 *     in   [----)   [---)
 *            [----)     [--)
 *     out  [------) [------)
 */
export function mergeExtents(extents: Iterable<Extent>): Extent[] {
  const sorted = [...extents].filter(e => e.length > 0).sort((a, b) => a.offset - b.offset)
  const merged: { offset: number; length: number }[] = []
  for (const { offset, length } of sorted) {
    const last = merged.at(-1)
    if (last !== undefined && offset <= last.offset + last.length) {
      last.length = Math.max(last.length, offset + length - last.offset)
    } else {
      merged.push({ offset, length })
    }
  }
  return merged
}

/** How many bytes the extents hold; overlaps count twice. */
export function totalLength(extents: Iterable<Extent>): number {
  let total = 0
  for (const { length } of extents) total += length
  return total
}
