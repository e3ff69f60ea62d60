import { type BlockLocation, CODECS, type Codec, MAX_BLOCK_SIZE } from '@varve/block-map'
import { type BlockCompressor, compressBound } from './codec/codec.ts'
import { RepositoryError } from './errors.ts'
import type { KeptBuffers } from './kept-buffers.ts'
import { type NewObjectId, packKey } from './keys.ts'
import {
  finishPack,
  MAX_PACK_BLOCKS,
  PACK_FOOTER_ENTRY,
  PACK_HEADER_LENGTH,
  packCapacity,
  writeFooterEntry,
  writePackHeader,
} from './pack-format.ts'
import type { Store } from './store.ts'

export interface WrittenObject<Kind extends 'pack' | 'map' = 'pack' | 'map'> {
  readonly key: string
  /** Bytes. */
  readonly size: number
  readonly kind: Kind
}

export interface PackWriterOptions {
  /** A pack is sent when it holds that many bytes. Default 24 MiB, at most 1 GiB. */
  readonly targetSize?: number
  /** Packs being sent at the same time; `add` waits when there are that many. Default 1: one is sent while the next is filled. */
  readonly maxPending?: number
  readonly signal?: AbortSignal
}

const MiB = 1024 * 1024
/** Offsets in packs are u32, and a pack is one request. */
const MAX_TARGET = 1024 * MiB
/** Compressed must be this much smaller than raw, or raw is stored: reading it back is then free. */
const WORTH = 1 / 32
/** Identical blocks are looked for among so many; above it new hashes are not remembered. */
const MAX_SEEN = 65_536
/** Blocks at least this long are tried on a sample first. */
const SAMPLED = 64 * 1024
const SAMPLE = 4 * 1024

interface OpenPack {
  readonly packId: string
  readonly buffer: Buffer
  readonly footer: Buffer
  length: number
  blocks: number
}

/**
 * Turns blocks into packs and sends full packs in the background. Locations are known at once, but the packs they name are
 * durable only once `finish` has resolved: write maps after it. For one job at a time; calls of `add` may overlap.
 */
export class PackWriter {
  readonly #store: Store
  readonly #newId: NewObjectId
  readonly #compressor: BlockCompressor | undefined
  readonly #buffers: KeptBuffers
  readonly #targetSize: number
  readonly #maxPending: number
  readonly #abort = new AbortController()
  readonly #signal: AbortSignal
  readonly #pending = new Set<Promise<void>>()
  readonly #seen = new Map<string, BlockLocation>()
  readonly #objects: WrittenObject<'pack'>[] = []
  #sample: Buffer | undefined
  #current: OpenPack | undefined
  #failure: { readonly error: unknown } | undefined
  #closed = false
  #storedBytes = 0
  #rawBytes = 0
  #waitMs = 0

  constructor(
    store: Store,
    newId: NewObjectId,
    compressor: BlockCompressor | undefined,
    buffers: KeptBuffers,
    options: PackWriterOptions = {},
  ) {
    this.#store = store
    this.#newId = newId
    this.#compressor = compressor
    this.#buffers = buffers
    this.#targetSize = options.targetSize ?? 24 * MiB
    if (!(this.#targetSize > 0 && this.#targetSize <= MAX_TARGET)) throw new RangeError('the target size of packs is above 1 GiB')
    this.#maxPending = options.maxPending ?? 1
    this.#signal = options.signal === undefined ? this.#abort.signal : AbortSignal.any([this.#abort.signal, options.signal])
  }

  /** Bytes of block frames so far, as stored. */
  get storedBytes(): number {
    return this.#storedBytes
  }

  /** Bytes of the same blocks before compression. */
  get rawBytes(): number {
    return this.#rawBytes
  }

  /** Milliseconds that `add` and `finish` waited for the store. */
  get waitMs(): number {
    return this.#waitMs
  }

  /**
   * Compress a block and append it to a pack. `bytes` are 1 B to 4 MiB and not all zero; `hash` is `formatHash(bytes)`. A block that this
   * writer has stored already is not stored again.
   *
   * @returns at once unless all packs are on their way; then leave `bytes` as they are until the promise resolves.
   * @throws the error with which sending an earlier pack failed; RepositoryError WRITER_CLOSED.
   */
  add(hash: Uint8Array, bytes: Uint8Array): BlockLocation | Promise<BlockLocation> {
    if (hash.length !== 32 || bytes.length === 0 || bytes.length > MAX_BLOCK_SIZE)
      throw new RangeError('a block has 1 B to 4 MiB and a 32 B hash')
    this.#check()
    const key = Buffer.from(hash.buffer, hash.byteOffset, 32).toString('latin1')
    const known = this.#seen.get(key)
    if (known !== undefined) return known
    return this.#makeRoom() ? this.#append(hash, key, bytes) : this.#addLater(hash, key, bytes)
  }

  /** Send what is left and wait for all packs to be durable. */
  async finish(): Promise<{ readonly objects: readonly WrittenObject<'pack'>[] }> {
    this.#check()
    this.#closed = true
    const started = performance.now()
    this.#send()
    while (this.#pending.size > 0) await Promise.race(this.#pending)
    this.#waitMs += performance.now() - started
    if (this.#failure !== undefined) throw this.#failure.error
    return { objects: this.#objects }
  }

  /** Give up: stop sending, forget everything. Packs that are already stored belong to nobody and are collected as garbage. */
  async abort(): Promise<void> {
    this.#closed = true
    this.#current = undefined
    this.#abort.abort(new RepositoryError('WRITER_CLOSED', 'the pack writer was aborted'))
    while (this.#pending.size > 0) await Promise.race(this.#pending)
  }

  async #addLater(hash: Uint8Array, key: string, bytes: Uint8Array): Promise<BlockLocation> {
    const started = performance.now()
    while (!this.#makeRoom()) {
      await Promise.race(this.#pending)
      this.#check()
    }
    this.#waitMs += performance.now() - started
    return this.#seen.get(key) ?? this.#append(hash, key, bytes)
  }

  /** Is there an open pack with room for a block? Sends a full one if a slot is free. */
  #makeRoom(): boolean {
    const current = this.#current
    if (current !== undefined) {
      if (current.length < this.#targetSize && current.blocks < MAX_PACK_BLOCKS) return true
      if (this.#pending.size >= this.#maxPending) return false
      this.#send()
    }
    const packId = this.#newId()
    const buffer = this.#buffers.take(packCapacity(this.#targetSize))
    writePackHeader(buffer, packId)
    // The footer is gathered at the far end of the same buffer.
    const footer = buffer.subarray(buffer.length - MAX_PACK_BLOCKS * PACK_FOOTER_ENTRY)
    this.#current = { packId, buffer, footer, length: PACK_HEADER_LENGTH, blocks: 0 }
    return true
  }

  #append(hash: Uint8Array, key: string, bytes: Uint8Array): BlockLocation {
    const pack = this.#current!
    const offset = pack.length
    let codec: Codec = CODECS.raw
    let storedLength = this.#compress(pack, bytes)
    if (storedLength > 0) codec = this.#compressor!.codec
    else {
      pack.buffer.set(bytes, offset)
      storedLength = bytes.length
    }
    pack.length += storedLength
    writeFooterEntry(pack.footer, pack.blocks++ * PACK_FOOTER_ENTRY, { hash, offset, storedLength, rawLength: bytes.length, codec })
    this.#storedBytes += storedLength
    this.#rawBytes += bytes.length
    const location: BlockLocation = { packId: pack.packId, offset, storedLength, codec }
    if (this.#seen.size < MAX_SEEN) this.#seen.set(key, location)
    if (pack.length >= this.#targetSize && this.#pending.size < this.#maxPending) this.#send()
    return location
  }

  /** Compress into the pack. 0 when it does not help. */
  #compress(pack: OpenPack, bytes: Uint8Array): number {
    const compressor = this.#compressor
    if (compressor === undefined) return 0
    const target = pack.buffer.subarray(pack.length, pack.length + compressBound(bytes.length))
    if (bytes.length >= SAMPLED && !this.#sampleHelps(compressor, bytes)) return 0
    const length = compressor.compressInto(target, bytes)
    return length <= bytes.length * (1 - WORTH) ? length : 0
  }

  /** Does a small part of the block compress at all? Saves most of the time on what is compressed or encrypted already. */
  #sampleHelps(compressor: BlockCompressor, bytes: Uint8Array): boolean {
    this.#sample ??= Buffer.allocUnsafeSlow(compressBound(SAMPLE))
    for (let i = 1; i <= 3; i++) {
      const at = (bytes.length >>> 2) * i
      if (compressor.compressInto(this.#sample, bytes.subarray(at, at + SAMPLE)) < SAMPLE * (1 - WORTH)) return true
    }
    return false
  }

  #send(): void {
    const pack = this.#current
    this.#current = undefined
    if (pack === undefined) return
    if (pack.blocks === 0) {
      this.#buffers.giveBack(pack.buffer)
      return
    }
    const footer = pack.footer.subarray(0, pack.blocks * PACK_FOOTER_ENTRY)
    const size = finishPack(pack.buffer, pack.length, footer)
    const key = packKey(pack.packId)
    const sending = this.#store.put(key, pack.buffer.subarray(0, size), { signal: this.#signal, guarded: true }).then(
      () => {
        this.#objects.push({ key, size, kind: 'pack' })
        // After a failure something may still read the buffer; it is left to the garbage collector.
        this.#buffers.giveBack(pack.buffer)
      },
      error => {
        this.#failure ??= { error }
      },
    )
    const settled = sending.finally(() => this.#pending.delete(settled))
    this.#pending.add(settled)
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#signal.throwIfAborted()
    if (this.#closed) throw new RepositoryError('WRITER_CLOSED', 'the pack writer is closed')
  }
}
