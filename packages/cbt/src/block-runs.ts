import type { Extent } from './extent.ts'

/**
 * The whole blocks that extents touch, as runs of neighbouring blocks; each block once. Extents are ascending and do not overlap.
 *
 *     blocks   |     |     |     |     |     |
 *     extents     [-] [-]                 [--)
 *     runs     [-----------)           [-----)
 */
export function* blockRuns(
  extents: Iterable<Extent>,
  { diskSize, blockSize }: { readonly diskSize: number; readonly blockSize: number },
): Generator<Extent> {
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
