import { Page } from '@varve/block-map'
import { formatHash } from '../block-hash.ts'
import type { PackWriterOptions, WrittenObject } from '../pack-writer.ts'
import type { BlockResult, ReadBlocksOptions } from '../read-blocks.ts'
import type { Repository } from '../repository.ts'
import { randomObjectIds } from './object-ids.ts'

/** Store blocks as the first ones of a page. */
export async function writeBlocks(
  repository: Repository,
  pageIndex: number,
  blocks: readonly Uint8Array[],
  options: PackWriterOptions = {},
): Promise<{ readonly page: Page; readonly objects: readonly WrittenObject[] }> {
  const page = Page.empty(pageIndex, 1024)
  const writer = repository.packWriter(randomObjectIds(), options)
  for (const [i, bytes] of blocks.entries()) {
    const hash = formatHash(bytes)
    page.setStored(i, hash, await writer.add(hash, bytes))
  }
  return { page, objects: (await writer.finish()).objects }
}

/** Every stored block of a page, by its index in the page. */
export async function readAll(repository: Repository, page: Page, options: ReadBlocksOptions = {}): Promise<Map<number, BlockResult>> {
  const requests = Array.from({ length: page.blockCount }, (_, i) => ({ index: i, page, entry: i })).filter(
    ({ entry }) => !page.isZero(entry),
  )
  const found = new Map<number, BlockResult>()
  for await (const result of repository.readBlocks(requests, options)) {
    if (found.has(result.index)) throw new Error(`block ${result.index} came twice`)
    // Its bytes are used again for the next one.
    found.set(result.index, result.bytes === undefined ? result : { index: result.index, bytes: Uint8Array.from(result.bytes) })
  }
  return found
}
