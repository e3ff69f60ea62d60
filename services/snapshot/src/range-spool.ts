import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlannedRange } from '@varve/planning'

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
  #ranges = 0
  #bytes = 0

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async fill(ranges: AsyncIterable<PlannedRange> | Iterable<PlannedRange>): Promise<RangeSpool> {
    const spool = new RangeSpool(await openNameless())
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

  /** The batches in which they are stored. */
  async *batches(): AsyncGenerator<readonly PlannedRange[]> {
    for await (const line of this.#file.readLines({ start: 0, autoClose: false })) yield JSON.parse(line) as PlannedRange[]
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async #add(batch: readonly PlannedRange[]): Promise<void> {
    this.#ranges += batch.length
    for (const { bytes } of batch) this.#bytes += bytes
    await this.#file.writeFile(`${JSON.stringify(batch)}\n`)
  }
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
