import { encodePageRefs, type Page, PageArena } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import type { Extent } from '@varve/cbt'
import type { NbdClient } from '@varve/nbd'
import type { RangeProgress, Throttle } from '@varve/range-worker'
import { formatHash, isZero, type KeptBuffers, objectIds, type PackWriter, type Repository } from '@varve/repository'
import type { DiskGeometry } from './block-spans.ts'
import { BlockReaderError } from './errors.ts'
import { RangePages } from './range-pages.ts'
import { bytesOf, readAhead, type Span } from './read-ahead.ts'

/** What of which disk is copied. */
export interface CopyTask extends DiskGeometry {
  /** Bytes that CBT named, ascending; whole blocks are read around them. */
  readonly extents: readonly Extent[]
  /** Encoded references to the parent's pages that the extents touch; null in a full. */
  readonly parentPages: Uint8Array | null
  /** What it writes is of this attempt: the ids of packs and map begin with it. */
  readonly attemptId: string
}

export interface CopyDeps {
  readonly source: Pick<NbdClient, 'size' | 'read' | 'blockStatus' | 'blockStatusAvailable'>
  readonly repository: Pick<Repository, 'packWriter' | 'putMap' | 'getPages'>
  /** To read into, kept from range to range; none: new ones. */
  readonly buffers?: KeptBuffers
  /** For the pages of the block map, whose own it is until the copy ends; none: a new one. */
  readonly arena?: PageArena
  /** Of the connection to the source; none: as fast as it goes. */
  readonly throttle?: Pick<Throttle, 'admit'>
  readonly signal: AbortSignal
  /** Called after each span, holes too, with the bytes so far. */
  readonly onProgress?: (progress: RangeProgress) => void
}

const UNLIMITED = { admit: () => undefined }

/**
 * Copy one range of a disk into the repository.
 *
 *     read ahead -> blocks -> zero?              -> zero entry
 *                             hash as in parent? -> the parent's entry stays
 *                             else               -> pack
 *     packs durable -> pages stored as one map -> references to them
 *
 * Effect: packs and one map in the repository. They are the attempt's alone until the result is accepted by the catalog, so a copy
 * that fails half-way, or is done twice, leaves only what the attempt accounts for.
 *
 * @throws NbdError, RepositoryError, BlockMapError, BlockReaderError
 */
export async function copyRange(
  task: CopyTask,
  { source, repository, buffers, arena = new PageArena(), throttle = UNLIMITED, signal, onProgress }: CopyDeps,
): Promise<RangeResult> {
  if (source.size < task.diskSize) {
    throw new BlockReaderError('SOURCE_SIZE_DIFFERS', `the source has ${source.size} bytes, the disk ${task.diskSize}`)
  }
  arena.reset()
  const started = performance.now()
  const waited = { source: 0, throttle: 0 }
  const pages = await RangePages.load(task.extents, task, task.parentPages, { repository, arena, signal })
  const loadMs = performance.now() - started
  const newId = objectIds(task.attemptId)
  const packs = repository.packWriter(newId, { signal })
  const counts = { read: 0, unchanged: 0, zero: 0 }
  const joined = Buffer.allocUnsafe(task.blockSize)
  try {
    for await (const span of readAhead(pages.toRead(task.extents), task, source, { throttle, signal, waited }, buffers)) {
      signal.throwIfAborted()
      await copySpan(span, { task, pages, packs, counts, joined })
      onProgress?.({ read: counts.read, written: packs.storedBytes })
    }
    const { objects } = await packs.finish()
    const mapStarted = performance.now()
    const map = await repository.putMap(newId, pages.all, { signal })
    const storeMs = loadMs + packs.waitMs + (performance.now() - mapStarted)
    const stored = map.object === undefined ? objects : [...objects, map.object]
    return {
      ...counts,
      written: stored.reduce((sum, object) => sum + object.size, 0),
      pages: encodePageRefs(map.refs).toString('base64'),
      objects: stored,
      damage: pages.damaged,
      time: inMs({ ...waited, store: storeMs, cpu: performance.now() - started - waited.source - waited.throttle - storeMs }),
    }
  } catch (error) {
    await packs.abort()
    throw error
  }
}

interface SpanContext {
  readonly task: CopyTask
  readonly pages: RangePages
  readonly packs: PackWriter
  readonly counts: { read: number; unchanged: number; zero: number }
  /** Room for a block that holes cut: it is stored before the next one is put together. */
  readonly joined: Buffer
}

async function copySpan({ offset, length, pieces }: Span, { task, pages, packs, counts, joined }: SpanContext): Promise<void> {
  for (const piece of pieces ?? []) if (piece.bytes !== undefined) counts.read += piece.length
  const end = offset + length
  for (let at = offset; at < end; at += task.blockSize) {
    const blockLength = Math.min(task.blockSize, end - at)
    const { page, at: entry } = pages.of(at / task.blockSize)
    const bytes = pieces && bytesOf(pieces, at, blockLength, joined)
    if (bytes === undefined || isZero(bytes)) {
      page.setZero(entry)
      counts.zero += blockLength
    } else if (!(await store(bytes, page, entry, packs))) counts.unchanged += blockLength
  }
}

/** false when the page has that very block already. */
async function store(bytes: Uint8Array, page: Page, entry: number, packs: PackWriter): Promise<boolean> {
  const hash = formatHash(bytes)
  if (page.hashEquals(entry, hash)) return false
  const location = packs.add(hash, bytes)
  page.setStored(entry, hash, location instanceof Promise ? await location : location)
  return true
}

function inMs({ source, throttle, cpu, store }: RangeResult['time']): RangeResult['time'] {
  return { source: Math.round(source), throttle: Math.round(throttle), cpu: Math.max(0, Math.round(cpu)), store: Math.round(store) }
}
