import { CODECS, type Codec } from '@varve/block-map'
import { RepositoryError } from '../errors.ts'
import { lz4Coders } from './lz4.ts'
import { zstdCoders } from './zstd.ts'

/**
 * One implementation of a compression. Synchronous: the asynchronous API of zlib costs twice the time of the call itself. Run it
 * in a worker thread where the latency of the main thread matters.
 */
export interface BlockCoder {
  readonly name: string
  /** Write the compressed block to `target`, which has room for `compressBound(block.length)`. @returns bytes written, maybe more than the block has. */
  compressInto(target: Buffer, block: Uint8Array): number
  /**
   * The block, if it fits into `target`, which is what it may be a view of; throws anything otherwise, before memory is taken for more. `target` holds
   * anything afterwards.
   */
  decompress(stored: Uint8Array, target: Uint8Array): Uint8Array
}

export interface BlockCompressor extends BlockCoder {
  readonly codec: Codec
}

/** How a repository compresses new blocks. What is not available here falls back: zstd, then lz4, then none. */
export const COMPRESSIONS = ['zstd', 'lz4', 'none'] as const
export type Compression = (typeof COMPRESSIONS)[number]

/** Room that compressing `length` bytes may take, whatever the codec (zstd: length + length/256 + 64 B; lz4: + length/255 + 20 B). */
export function compressBound(length: number): number {
  return length + (length >>> 7) + 1024
}

/** The compressor for new blocks; undefined stores them raw. `zstdLevel`: 1 to 19, default 1. */
export function openCompressor(compression: Compression, zstdLevel?: number): BlockCompressor | undefined {
  if (compression === 'none') return undefined
  const zstd = compression === 'zstd' ? zstdCoders(zstdLevel)[0] : undefined
  if (zstd !== undefined) return { ...zstd, codec: CODECS.zstd }
  const lz4 = lz4Coders()[0]
  return lz4 === undefined ? undefined : { ...lz4, codec: CODECS.lz4 }
}

const decoders = new Map<Codec, BlockCoder | undefined>()

/**
 * The bytes of a block from its stored form, at most as many as `target` has: what claims to be longer is refused before memory is taken.
 *
 * @returns for raw blocks `stored` itself, else a view of `target` where the codec can write there.
 * @throws RepositoryError CODEC_UNAVAILABLE, BLOCK_DAMAGED
 */
export function decompress(codec: Codec, stored: Uint8Array, target: Uint8Array): Uint8Array {
  if (codec === CODECS.raw) {
    if (stored.length <= target.length) return stored
    throw damaged(`${stored.length} bytes are stored where at most ${target.length} can be`)
  }
  const coder = decoderOf(codec)
  try {
    return coder.decompress(stored, target)
  } catch (cause) {
    throw damaged('it does not decompress', cause)
  }
}

function decoderOf(codec: Codec): BlockCoder {
  if (!decoders.has(codec)) decoders.set(codec, codec === CODECS.zstd ? zstdCoders()[0] : lz4Coders()[0])
  const coder = decoders.get(codec)
  if (coder !== undefined) return coder
  const name = codec === CODECS.zstd ? 'zstd' : 'lz4'
  const remedy = 'install a C++ compiler and run the installation again, or use Node 22.15 or newer'
  throw new RepositoryError('CODEC_UNAVAILABLE', `blocks are compressed with ${name}, which is not available here: ${remedy}`)
}

function damaged(why: string, cause?: unknown): RepositoryError {
  return new RepositoryError('BLOCK_DAMAGED', `a stored block is damaged: ${why}`, {}, { cause })
}
