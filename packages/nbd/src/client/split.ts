import type { Extent } from '@varve/cbt'

/**
 * Widen a range to whole multiples of the server's minimum block size, not past the end of the export.
 *
 *     asked       [------)
 *     blocks  |   .   |   .   |   .   |
 *     wire    [---------------)
 */
export function widen(range: Extent, minimum: number, size: number): Extent {
  const offset = range.offset - (range.offset % minimum)
  const end = range.offset + range.length
  const over = end % minimum
  const wideEnd = over === 0 ? end : Math.min(end - over + minimum, size)
  return { offset, length: wideEnd - offset }
}

/** Cut a range into consecutive parts of at most `maximum` bytes. */
export function split(range: Extent, maximum: number): Extent[] {
  if (range.length <= maximum) return [range]
  const parts: Extent[] = []
  for (let at = 0; at < range.length; at += maximum) {
    parts.push({ offset: range.offset + at, length: Math.min(maximum, range.length - at) })
  }
  return parts
}
