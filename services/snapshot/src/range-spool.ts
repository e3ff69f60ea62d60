import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pageBytes } from '@varve/block-map'
import { blockRuns } from '@varve/cbt'
import type { DiskGeometry, PlannedRange, RangeVolume } from '@varve/planning'

/** What one call to the catalog may carry: 1000 ranges, and few enough extents to stay below some 400 kB. */
const BATCH_RANGES = 1000
const BATCH_EXTENTS = 8192

/**
 * The ranges of one disk between planning and storing. They are stored only when the platform's answer has been seen to its end, because
 * an answer that turns out wrong on its last page makes the whole disk a full; on disk, because a 63 TB disk may have a hundred
 * million extents. The file has no name any more once it is open, so a crash leaves nothing behind.
 */
export class RangeSpool {
  readonly #file: FileHandle
  readonly #geometry: DiskGeometry
  readonly #volumes: RangeVolume[] = []
  #ranges = 0
  #bytes = 0

  private constructor(file: FileHandle, geometry: DiskGeometry) {
    this.#file = file
    this.#geometry = geometry
  }

  static async fill(ranges: AsyncIterable<PlannedRange> | Iterable<PlannedRange>, geometry: DiskGeometry): Promise<RangeSpool> {
    const spool = new RangeSpool(await openNameless(), geometry)
    try {
      for await (const batch of inBatches(ranges)) await spool.#add(batch)
      return spool
    } catch (error) {
      await spool.close()
      throw error
    }
  }

  get ranges(): number {
    return this.#ranges
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Of each range, in order: the whole blocks that its extents touch, and the pages. */
  get volumes(): readonly RangeVolume[] {
    return this.#volumes
  }

  /** The batches in which they are stored. */
  async *batches(): AsyncGenerator<readonly PlannedRange[]> {
    for await (const line of this.#file.readLines({ start: 0, autoClose: false })) yield JSON.parse(line) as PlannedRange[]
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async #add(batch: readonly PlannedRange[]): Promise<void> {
    this.#ranges += batch.length
    for (const range of batch) {
      this.#bytes += range.bytes
      this.#volumes.push(volumeOf(range, this.#geometry))
    }
    await this.#file.writeFile(`${JSON.stringify(batch)}\n`)
  }
}

function volumeOf({ extents }: PlannedRange, geometry: DiskGeometry): RangeVolume {
  const perPage = pageBytes(geometry.blockSize)
  let read = 0
  let pages = 0
  let next = 0
  for (const { offset, length } of blockRuns(extents, geometry)) {
    read += length
    const last = Math.floor((offset + length - 1) / perPage)
    pages += Math.max(0, last - Math.max(next, Math.floor(offset / perPage)) + 1)
    next = Math.max(next, last + 1)
  }
  return { read, pages }
}

async function openNameless(): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-plan-'))
  try {
    return await open(join(folder, 'ranges'), 'wx+', 0o600)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function* inBatches(ranges: AsyncIterable<PlannedRange> | Iterable<PlannedRange>): AsyncGenerator<readonly PlannedRange[]> {
  let batch: PlannedRange[] = []
  let extents = 0
  for await (const range of ranges) {
    if (batch.length >= BATCH_RANGES || (batch.length > 0 && extents + range.extents.length > BATCH_EXTENTS)) {
      yield batch
      batch = []
      extents = 0
    }
    batch.push(range)
    extents += range.extents.length
  }
  if (batch.length > 0) yield batch
}
