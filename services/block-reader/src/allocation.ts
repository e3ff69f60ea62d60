import type { Extent } from '@varve/cbt'
import type { NbdClient } from '@varve/nbd'
import type { DiskGeometry } from './block-spans.ts'

/** A run of whole blocks: to be read, or known to be zero. */
export interface Run extends Extent {
  readonly zero: boolean
}

/**
 * Below this asking costs more than reading: holes come back from reads without their bytes anyway. Above it a run is usually a disk
 * without changed block tracking, of which most is empty.
 */
const WORTH_ASKING = 32 * 1024 * 1024

/**
 * Which blocks of a run the server calls zero (`base:allocation`). A block counts as zero only when all of it is.
 *
 *     server   data | zero              | data
 *     blocks   |     |     |     |     |     |
 *     runs     [ read      )[ zero     )[read)
 */
export async function* splitByAllocation(
  run: Extent,
  source: Pick<NbdClient, 'blockStatus' | 'blockStatusAvailable'>,
  { blockSize, diskSize }: DiskGeometry,
): AsyncGenerator<Run> {
  if (!source.blockStatusAvailable || run.length < WORTH_ASKING) {
    yield { ...run, zero: false }
    return
  }
  const end = run.offset + run.length
  let done = run.offset
  // Neighbouring zero extents may come in several answers: they are joined before they are rounded to blocks.
  let zero: { offset: number; end: number } | undefined
  const wholeBlocks = function* (): Generator<Run> {
    if (zero === undefined) return
    const first = Math.ceil(zero.offset / blockSize) * blockSize
    const last = zero.end === diskSize ? diskSize : zero.end - (zero.end % blockSize)
    zero = undefined
    if (last <= first) return
    if (first > done) yield { offset: done, length: first - done, zero: false }
    yield { offset: first, length: last - first, zero: true }
    done = last
  }
  for (let at = run.offset; at < end; ) {
    const status = await source.blockStatus(at, end - at)
    if (status.every(extent => extent.length === 0)) break // no progress: the rest is read
    for (const extent of status) {
      at = extent.offset + extent.length
      if (!extent.zero) yield* wholeBlocks()
      else if (zero === undefined) zero = { offset: extent.offset, end: at }
      else zero.end = at
    }
  }
  yield* wholeBlocks()
  if (done < end) yield { offset: done, length: end - done, zero: false }
}
