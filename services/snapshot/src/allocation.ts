import { blockRuns, type Extent } from '@varve/cbt'
import { hasCode } from '@varve/errors'
import type { DiskGeometry } from '@varve/planning'
import type { OpenExports } from '@varve/range-worker'
import type { RangeSpool } from './range-spool.ts'

/** An open disk, as far as it tells what of it is allocated. */
export type AllocatedDisk = Parameters<Parameters<OpenExports['use']>[2]>[0]

/** Questions under way at the same time. */
const IN_FLIGHT = 8
/** Bytes of one question: an answer names at most so many extents that a full disk of this size has. */
const STEP = 1024 ** 3

/** What holds data, in order; the unit of a list is one answer. */
export async function* allocatedAreas(disk: AllocatedDisk, diskSize: number, signal: AbortSignal): AsyncGenerator<readonly Extent[]> {
  for (let at = 0; at < diskSize; ) {
    signal.throwIfAborted()
    const answer = await disk.blockStatus(at, Math.min(STEP, diskSize - at))
    yield answer.filter(({ zero, length }) => !zero && length > 0).map(({ offset, length }) => ({ offset, length }))
    const last = answer.at(-1)
    // No progress: the rest is taken for data.
    if (last === undefined || last.offset + last.length <= at) {
      yield [{ offset: at, length: diskSize - at }]
      return
    }
    at = last.offset + last.length
  }
}

/** Bytes that a reader of these ranges receives, range by range: whole blocks, less the holes in them. Just as `block-reader` counts what it reads. */
export async function countAllocated(
  ranges: RangeSpool,
  geometry: DiskGeometry,
  disk: AllocatedDisk,
  signal: AbortSignal,
): Promise<number[]> {
  const counts: number[] = []
  for await (const batch of ranges.batches()) {
    for (const { extents } of batch) {
      let sum = 0
      const runs = blockRuns(extents, geometry)
      const worker = async (): Promise<void> => {
        for (const run of runs) {
          signal.throwIfAborted()
          // Not in one expression: the sum would be read before the wait.
          const bytes = await allocatedIn(run, disk)
          sum += bytes
        }
      }
      await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, extents.length) }, worker))
      counts.push(sum)
    }
  }
  return counts
}

async function allocatedIn({ offset, length }: Extent, disk: AllocatedDisk): Promise<number> {
  const end = offset + length
  let sum = 0
  for (let at = offset; at < end; ) {
    const before = at
    for (const extent of await disk.blockStatus(at, Math.min(STEP, end - at))) {
      const stop = Math.min(end, extent.offset + extent.length)
      if (!extent.zero) sum += Math.max(0, stop - at)
      at = Math.max(at, stop)
    }
    if (at === before) return sum + (end - at)
  }
  return sum
}

/** Errors that say that the way to the disks is shut from here: the readers may be in another network. */
export function isOutOfReach(error: unknown): boolean {
  return hasCode(error, 'NBD_UNREACHABLE', 'NBD_TLS_UNTRUSTED', 'NBD_REFUSED')
}
