import type { BlockEntry, Page } from '@varve/block-map'
import { formatHash } from './block-hash.ts'
import { decompress } from './codec/codec.ts'
import { RepositoryError } from './errors.ts'
import { fetchAhead } from './fetch-ahead.ts'
import { packKey } from './keys.ts'
import type { ReadBuffers } from './read-buffers.ts'
import { BLOCK_GETS, planGets, type Wanted } from './read-plan.ts'
import type { Store } from './store.ts'

/** A block to read: entry `entry` of `page`, which must not be zero. `index` is the caller's own number for it. */
export interface BlockRequest {
  readonly index: number
  readonly page: Page
  readonly entry: number
}

/** A block as it was backed up, or why it cannot be had. `bytes` are good until the next block is asked for: then they are used again. */
export type BlockResult =
  | { readonly index: number; readonly bytes: Uint8Array; readonly damage?: undefined }
  | { readonly index: number; readonly bytes?: undefined; readonly damage: RepositoryError }

export interface ReadBlocksOptions {
  /** Gets at the same time. Default 4. */
  readonly inFlight?: number | undefined
  /** Bytes that nobody wants, at most, between two blocks of one get. Default 128 KiB. */
  readonly coalesceGap?: number
  /** Bytes of one get. Default 4 MiB. */
  readonly maxGet?: number
  readonly signal?: AbortSignal
  /** Told how long nothing could be done because no bytes had come, ms. */
  readonly onWaited?: (ms: number) => void
}

interface WantedBlock extends Wanted {
  readonly index: number
  readonly block: BlockEntry
}

/** These say that the bytes are not there or wrong; any other error says that nothing is known, and is thrown. */
const DAMAGE = new Set(['OBJECT_NOT_FOUND', 'RANGE_INVALID'])

/** See Repository.readBlocks. */
export async function* readBlocks(
  store: Store,
  blockSize: number,
  buffers: ReadBuffers,
  requests: readonly BlockRequest[],
  options: ReadBlocksOptions = {},
): AsyncGenerator<BlockResult> {
  const wanted = requests.map(({ index, page, entry }): WantedBlock => {
    const block = page.entry(entry)
    if (block === undefined) throw new RangeError(`entry ${entry} of page ${page.pageIndex} is zero; there is nothing to read`)
    return { index, block, object: block.packId, offset: block.offset, length: block.storedLength }
  })
  // What helps less than being raw is stored raw, so nothing stored is longer than a block. Do not even ask for it.
  const [possible, impossible] = [wanted.filter(item => item.length <= blockSize), wanted.filter(item => item.length > blockSize)]
  for (const item of impossible) yield { index: item.index, damage: damage(item, `${item.length} stored bytes cannot be one block`) }
  const gets = planGets(possible, {
    coalesceGap: options.coalesceGap ?? BLOCK_GETS.coalesceGap,
    maxGet: options.maxGet ?? BLOCK_GETS.maxGet,
  })
  const raw = buffers.take(blockSize)
  let waitedSince = performance.now()
  for await (const fetched of fetchAhead(store, gets, packKey, { inFlight: options.inFlight ?? 4, signal: options.signal, buffers })) {
    options.onWaited?.(performance.now() - waitedSince)
    const { get } = fetched
    if ('error' in fetched) {
      const { error } = fetched
      if (!(error instanceof RepositoryError && DAMAGE.has(error.code))) throw error
      for (const item of get.items) yield { index: item.index, damage: damage(item, 'its pack is missing or too short', error) }
    } else {
      for (const item of get.items) yield openBlock(item, fetched.bytes, item.offset - get.offset, raw.subarray(0, blockSize))
    }
    waitedSince = performance.now()
  }
  buffers.giveBack(raw)
}

/** `target`: where it is decompressed to. */
function openBlock(item: WantedBlock, bytes: Uint8Array, at: number, target: Uint8Array): BlockResult {
  const { block, index } = item
  try {
    const raw = decompress(block.codec, bytes.subarray(at, at + block.storedLength), target)
    if (Buffer.compare(formatHash(raw), block.hash) === 0) return { index, bytes: raw }
    return { index, damage: damage(item, 'its hash does not match') }
  } catch (error) {
    if (error instanceof RepositoryError && error.code === 'BLOCK_DAMAGED')
      return { index, damage: damage(item, 'it does not decompress', error) }
    throw error
  }
}

function damage({ index, block }: WantedBlock, why: string, cause?: unknown): RepositoryError {
  const context = { index, packId: block.packId, offset: block.offset, storedLength: block.storedLength }
  return new RepositoryError('BLOCK_DAMAGED', `block ${index} cannot be read back: ${why}`, context, { cause })
}
