import { setImmediate as breathe } from 'node:timers/promises'
import { formatHash } from './block-hash.ts'
import { decompress } from './codec/codec.ts'
import { RepositoryError, type RepositoryErrorCode } from './errors.ts'
import { decodeMap } from './map-object.ts'
import {
  decodePackIndex,
  PACK_FOOTER_ENTRY,
  PACK_HEADER_LENGTH,
  PACK_TRAILER_LENGTH,
  type PackedBlock,
  type PackIndex,
} from './pack-format.ts'
import type { WrittenObject } from './pack-writer.ts'
import type { Store } from './store.ts'

export interface ReadBackOptions {
  /** Every byte, every block; default: what tells most for a few small gets. */
  readonly whole?: boolean
  /** Which blocks of a pack are looked at; 0 to below 1. */
  readonly random?: () => number
  readonly signal?: AbortSignal
}

/** Blocks of a pack that are read when not all are. */
const SAMPLED_BLOCKS = 2
/** One get of so many last bytes has the footer of all packs of blocks of 256 KiB that compress to a half. */
const END_LENGTH = PACK_TRAILER_LENGTH + 300 * PACK_FOOTER_ENTRY
/** What is not longer is read whole: one get costs less than several. */
const SMALL = 128 * 1024
const SMALL_MAP = 1024 * 1024

/** The store answered, and its answer is not what was stored. Every other error says nothing about the object. */
const WRONG: ReadonlySet<RepositoryErrorCode> = new Set([
  'OBJECT_NOT_FOUND',
  'OBJECT_TOO_LARGE',
  'RANGE_INVALID',
  'PACK_CORRUPT',
  'MAP_DAMAGED',
  'BLOCK_DAMAGED',
])

/**
 * Does the store give back a pack or a map as it was written?
 *
 *     pack   header and end, as the CRC over both says   +   some blocks, as their hashes say
 *     map    all of it; of a long one its first pages and its end
 *
 * @returns why it does not, undefined when it does.
 * @throws what says that the store is in trouble
 */
export async function readBack(
  store: Store,
  blockSize: number,
  object: WrittenObject,
  options: ReadBackOptions,
): Promise<string | undefined> {
  try {
    if (object.kind === 'map') await readMap(store, object, options)
    else await readPack(store, blockSize, object, options)
    return undefined
  } catch (error) {
    if (!(error instanceof RepositoryError && WRONG.has(error.code))) throw error
    return error.code === 'OBJECT_NOT_FOUND' ? 'it is not there' : error.message
  }
}

async function readPack(store: Store, blockSize: number, { key, size }: WrittenObject, options: ReadBackOptions): Promise<void> {
  if (size < PACK_HEADER_LENGTH + PACK_TRAILER_LENGTH) throw corrupt('it was never whole')
  const all = options.whole || size <= SMALL ? await readWhole(store, key, size, options) : undefined
  const get = async (offset: number, length: number): Promise<Uint8Array> =>
    all?.subarray(offset, offset + length) ?? store.get(key, { offset, length }, options)
  const { packId, blocks } = await readIndex(get, size)
  if (packId !== nameOf(key)) throw corrupt(`it is pack ${packId}`)
  const chosen = all === undefined ? sample(blocks, SAMPLED_BLOCKS, options.random ?? Math.random) : blocks
  // One for all: nothing is waited for between filling it and looking at it.
  const scratch = Buffer.allocUnsafeSlow(blockSize)
  await Promise.all(chosen.map(async block => checkBlock(await get(block.offset, block.storedLength), block, scratch)))
}

async function readIndex(get: (offset: number, length: number) => Promise<Uint8Array>, size: number): Promise<PackIndex> {
  const end = Math.min(size, END_LENGTH)
  const [header, last] = await Promise.all([get(0, PACK_HEADER_LENGTH), get(size - end, end)])
  const index = decodePackIndex(header, last, size)
  if (!('needed' in index)) return index
  return decodePackIndex(header, await get(size - index.needed, index.needed), size) as PackIndex
}

async function checkBlock(stored: Uint8Array, block: PackedBlock, scratch: Buffer): Promise<void> {
  // Whole packs have hundreds of them, and others wait for this thread.
  await breathe()
  const bytes = decompress(block.codec, stored, scratch)
  if (Buffer.compare(formatHash(bytes), block.hash) !== 0) {
    throw new RepositoryError('BLOCK_DAMAGED', `the block at ${block.offset} does not have its hash`)
  }
}

async function readMap(store: Store, { key, size }: WrittenObject, options: ReadBackOptions): Promise<void> {
  if (options.whole || size <= SMALL_MAP) {
    const { mapId } = decodeMap(await readWhole(store, key, size, options))
    if (mapId !== nameOf(key)) throw new RepositoryError('MAP_DAMAGED', `it is map ${mapId}`)
    return
  }
  const [first] = await Promise.all([
    store.get(key, { offset: 0, length: SMALL_MAP }, options),
    store.get(key, { offset: size - PACK_TRAILER_LENGTH, length: PACK_TRAILER_LENGTH }, options),
  ])
  const { mapId } = decodeMap(first, { cut: true })
  if (mapId !== nameOf(key)) throw new RepositoryError('MAP_DAMAGED', `it is map ${mapId}`)
}

async function readWhole(store: Store, key: string, size: number, options: ReadBackOptions): Promise<Uint8Array> {
  const bytes = await store.get(key, undefined, options)
  if (bytes.length !== size) throw new RepositoryError('RANGE_INVALID', `it has ${bytes.length} bytes in place of ${size}`)
  return bytes
}

function sample<Item>(items: readonly Item[], count: number, random: () => number): readonly Item[] {
  if (items.length <= count) return items
  return Array.from({ length: count }, () => items[Math.floor(random() * items.length)]!)
}

function nameOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

function corrupt(why: string): RepositoryError {
  return new RepositoryError('PACK_CORRUPT', `a pack is damaged: ${why}`)
}
