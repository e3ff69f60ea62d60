import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import { CODECS, type Codec } from '@varve/block-map'
import { RepositoryError } from './errors.ts'

/**
 * Compression of single blocks, synchronous: the asynchronous zlib API costs twice the time of the call itself. Run it in a
 * worker thread where latency of the main thread matters.
 */
export interface BlockCompressor {
  readonly codec: Codec
  /**
   * Write the compressed block to `target`, which has room for `compressBound(block.length)`.
   *
   * @returns how many bytes were written, which may be more than the block has.
   */
  compressInto(target: Buffer, block: Uint8Array): number
}

/** How a repository compresses new blocks. What is not available here falls back: zstd, then lz4, then none. */
export const COMPRESSIONS = ['zstd', 'lz4', 'none'] as const
export type Compression = (typeof COMPRESSIONS)[number]

/** Room that compressing `length` bytes may take, whatever the codec (zstd: length + length/256 + 64 B; lz4: + length/255 + 20 B). */
export function compressBound(length: number): number {
  return length + (length >>> 7) + 1024
}

const LEVEL = 1

/** What Node 22.15 and newer have in zlib; the types in use are those of Node 20. */
interface ZlibZstd {
  zstdCompressSync?(input: Uint8Array, options: { params: Record<number, number> }): Buffer
  zstdDecompressSync?(input: Uint8Array, options: { maxOutputLength: number }): Buffer
}
interface ZstdNative {
  readonly CCtx: new () => {
    setParameter(parameter: number, value: number): void
    compress2(target: Uint8Array, source: Uint8Array): number
  }
  readonly DCtx: new () => { decompress(target: Uint8Array, source: Uint8Array): number }
  readonly CParameter: { readonly compressionLevel: number }
}
interface Lz4Native {
  compressSync(input: Uint8Array): Buffer
  uncompressSync(input: Uint8Array): Buffer
}

const require = createRequire(import.meta.url)
const builtin: ZlibZstd = zlib as ZlibZstd
/** ZSTD_c_compressionLevel, a constant of the zstd API. */
const ZSTD_C_COMPRESSION_LEVEL = 100

const zstdNative = lazy(() => optional<ZstdNative>('zstd-napi/binding'))
const lz4Native = lazy(() => optional<Lz4Native>('lz4-napi'))
const zstdDecoder = lazy(() => {
  const native = zstdNative()
  return native === undefined ? undefined : new native.DCtx()
})

/** The compressor for new blocks; undefined stores them raw. */
export function openCompressor(compression: Compression): BlockCompressor | undefined {
  if (compression === 'none') return undefined
  return (compression === 'zstd' ? zstdCompressor() : undefined) ?? lz4Compressor()
}

function zstdCompressor(): BlockCompressor | undefined {
  const native = zstdNative()
  if (native !== undefined) {
    const context = new native.CCtx()
    context.setParameter(native.CParameter.compressionLevel, LEVEL)
    return { codec: CODECS.zstd, compressInto: (target, block) => context.compress2(target, block) }
  }
  const compress = builtin.zstdCompressSync
  if (compress === undefined) return undefined
  const options = { params: { [ZSTD_C_COMPRESSION_LEVEL]: LEVEL } }
  return { codec: CODECS.zstd, compressInto: (target, block) => copyInto(target, compress(block, options)) }
}

function lz4Compressor(): BlockCompressor | undefined {
  const native = lz4Native()
  return native === undefined
    ? undefined
    : { codec: CODECS.lz4, compressInto: (target, block) => copyInto(target, native.compressSync(block)) }
}

/**
 * The bytes of a block from its stored form, at most `maxLength`: what claims to be longer is refused before memory is taken.
 *
 * @returns for raw blocks a view of `stored`.
 * @throws RepositoryError CODEC_UNAVAILABLE, BLOCK_DAMAGED
 */
export function decompress(codec: Codec, stored: Uint8Array, maxLength: number): Uint8Array {
  if (codec === CODECS.raw) {
    if (stored.length > maxLength) throw damaged(`${stored.length} bytes are stored where at most ${maxLength} can be`)
    return stored
  }
  try {
    if (codec === CODECS.zstd) return zstdDecompress(stored, maxLength)
    return lz4Decompress(stored, maxLength)
  } catch (cause) {
    throw cause instanceof RepositoryError ? cause : damaged('it does not decompress', cause)
  }
}

function zstdDecompress(stored: Uint8Array, maxLength: number): Uint8Array {
  const decoder = zstdDecoder()
  if (decoder !== undefined) {
    const target = Buffer.allocUnsafeSlow(maxLength)
    return target.subarray(0, decoder.decompress(target, stored))
  }
  if (builtin.zstdDecompressSync === undefined) throw unavailable('zstd')
  return builtin.zstdDecompressSync(stored, { maxOutputLength: maxLength })
}

function lz4Decompress(stored: Uint8Array, maxLength: number): Uint8Array {
  const native = lz4Native()
  if (native === undefined) throw unavailable('lz4')
  // The format is the raw length as u32, then an lz4 block; the library trusts that length.
  if (stored.length < 4) throw damaged('it is cut')
  const length = Buffer.from(stored.buffer, stored.byteOffset, 4).readUInt32LE(0)
  if (length > maxLength) throw damaged(`it claims ${length} bytes where at most ${maxLength} can be`)
  return native.uncompressSync(stored)
}

function copyInto(target: Buffer, bytes: Uint8Array): number {
  target.set(bytes)
  return bytes.length
}

function optional<T>(name: string): T | undefined {
  try {
    return require(name) as T
  } catch {
    return undefined
  }
}

function lazy<T>(load: () => T): () => T {
  let loaded: { readonly value: T } | undefined
  return () => {
    loaded ??= { value: load() }
    return loaded.value
  }
}

function damaged(why: string, cause?: unknown): RepositoryError {
  return new RepositoryError('BLOCK_DAMAGED', `a stored block is damaged: ${why}`, {}, { cause })
}

function unavailable(codec: string): RepositoryError {
  return new RepositoryError(
    'CODEC_UNAVAILABLE',
    `${codec} is not available here: install a compiler and run the installation again, or use Node 22.15 or newer`,
  )
}
