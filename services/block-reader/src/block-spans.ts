import type { Extent } from '@varve/cbt'

export interface DiskGeometry {
  readonly diskSize: number
  readonly blockSize: number
}

/**
 * The whole blocks that extents touch, as runs of neighbouring blocks; each block once. Extents are ascending and do not overlap.
 *
 *     blocks   |     |     |     |     |     |
 *     extents     [-] [-]                 [--)
 *     runs     [-----------)           [-----)
 */
export function* blockRuns(extents: Iterable<Extent>, { diskSize, blockSize }: DiskGeometry): Generator<Extent> {
  let run: { offset: number; end: number } | undefined
  for (const { offset, length } of extents) {
    const start = offset - (offset % blockSize)
    const end = Math.min(Math.ceil((offset + length) / blockSize) * blockSize, diskSize)
    if (run !== undefined && start <= run.end) {
      run.end = Math.max(run.end, end)
      continue
    }
    if (run !== undefined) yield { offset: run.offset, length: run.end - run.offset }
    run = { offset: start, end }
  }
  if (run !== undefined) yield { offset: run.offset, length: run.end - run.offset }
}

/** Cut a run of blocks into spans of at most `spanBytes`, whole blocks each. */
export function* cutIntoSpans({ offset, length }: Extent, blockSize: number, spanBytes: number): Generator<Extent> {
  const step = Math.max(blockSize, spanBytes - (spanBytes % blockSize))
  for (let at = 0; at < length; at += step) yield { offset: offset + at, length: Math.min(step, length - at) }
}
