import { type BlockEntry, PAGE_BLOCKS, type Page, type PageRef, pageBytes, type Root } from '@varve/block-map'
import { blockRuns } from '@varve/cbt'
import type { PlannedRange } from '@varve/planning'
import { BLOCK_GETS, PAGE_GETS, planGets } from '@varve/repository'
import type { RangeSpool } from './range-spool.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

export interface StoredBytes {
  readonly bytes: number
  readonly gets: number
  readonly exact: boolean
}

/**
 * What the repository holds of the blocks that these ranges write, as stored, and the gets that bring it. A block that any extent touches is got whole. Only so many pages are
 * looked at; the rest is taken to be like them.
 */
export async function countStored(
  ranges: RangeSpool,
  root: Root,
  { mostPages }: { readonly mostPages: number },
  { repository }: Pick<SnapshotDeps, 'repository'>,
  signal: AbortSignal,
): Promise<StoredBytes> {
  let [bytes, gets, looked, planned, pages] = [0, 1, 0, 0, 0]
  for await (const batch of ranges.batches()) {
    for (const range of batch) {
      const refs = root.pages.ofRange(range, root.blockSize)
      // At least one: nothing can be told from none.
      if (looked > 0 && pages + refs.length > mostPages) break
      pages += refs.length
      planned += range.bytes
      const entries = [...wantedEntries(range, root, await repository.getPages(refs, { signal }))]
      bytes += entries.reduce((sum, { storedLength }) => sum + storedLength, 0)
      looked += 1
      gets += planGets(refs.map(pageAsWanted), PAGE_GETS).length + planGets(entries.map(blockAsWanted), BLOCK_GETS).length
    }
  }
  if (looked === ranges.ranges) return { bytes, gets, exact: true }
  const share = planned > 0 ? ranges.bytes / planned : 0
  return { bytes: Math.round(bytes * share), gets: Math.round(gets * share), exact: false }
}

const pageAsWanted = ({ mapId, offset, length }: PageRef) => ({ object: mapId, offset, length })
const blockAsWanted = ({ packId, offset, storedLength }: BlockEntry) => ({ object: packId, offset, length: storedLength })

function* wantedEntries({ extents }: PlannedRange, { diskSize, blockSize }: Root, pages: readonly Page[]): Generator<BlockEntry> {
  const all = pages.map(page => ({ offset: page.pageIndex * pageBytes(blockSize), length: page.blockCount * blockSize }))
  const byIndex = new Map(pages.map(page => [page.pageIndex, page]))
  for (const { offset, length } of blockRuns(extents.length === 0 ? all : extents, { diskSize, blockSize })) {
    const last = Math.floor((offset + length - 1) / blockSize)
    for (let block = offset / blockSize; block <= last; block++) {
      const pageIndex = Math.floor(block / PAGE_BLOCKS)
      const page = byIndex.get(pageIndex)
      // A page that is all zero: on to the next one.
      if (page === undefined) block = (pageIndex + 1) * PAGE_BLOCKS - 1
      const entry = page?.entry(block % PAGE_BLOCKS)
      if (entry !== undefined) yield entry
    }
  }
}
