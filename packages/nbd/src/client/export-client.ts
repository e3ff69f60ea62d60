import type { Extent } from '@varve/cbt'
import type { Negotiated } from '../codec/client-handshake.ts'
import { ReadAssembly } from '../codec/read-assembly.ts'
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
  NBD_MAX_PAYLOAD,
} from '../constants.ts'
import { NbdError, requestFailed } from '../errors.ts'
import type { WireRequest } from './connection.ts'
import type { Lanes } from './lanes.ts'
import type { NbdClient, ReadPiece } from './nbd-client.ts'
import { split, widen } from './split.ts'

/** Largest trim, write-zeroes or block status: a multiple of every block size below the 32-bit length. */
const MAX_DATALESS = 1024 * 1024 * 1024

type Status = Awaited<ReturnType<NbdClient['blockStatus']>>

/** The requests of an open export, cut to what the server takes and put together again. */
export class ExportClient implements NbdClient {
  readonly size: number
  readonly readOnly: boolean
  readonly minimumBlockSize: number
  readonly structuredReplies: boolean
  readonly blockStatusAvailable: boolean
  readonly #negotiated: Negotiated
  readonly #lanes: Lanes
  readonly #unlisten: () => void

  constructor(negotiated: Negotiated, lanes: Lanes, signal?: AbortSignal) {
    this.size = negotiated.size
    this.readOnly = (negotiated.flags & NBD_FLAG_READ_ONLY) !== 0
    this.minimumBlockSize = negotiated.blockSize.minimum
    this.structuredReplies = negotiated.structuredReplies
    this.blockStatusAvailable = negotiated.allocationContext !== undefined
    this.#negotiated = negotiated
    this.#lanes = lanes
    const onAbort = () => void lanes.close(new NbdError('NBD_ABORTED', 'aborted', {}, { cause: signal?.reason }))
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#unlisten = () => signal?.removeEventListener('abort', onAbort)
  }

  get bytesRead(): number {
    return this.#lanes.bytesRead
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<readonly ReadPiece[]> {
    this.#checkRange(offset, length, NBD_MAX_PAYLOAD)
    if (into !== undefined && into.length < length)
      throw new NbdError('NBD_INPUT_INVALID', 'the buffer is shorter than the read', { length })
    if (length === 0) return []
    const wide = widen({ offset, length }, this.minimumBlockSize, this.size)
    // A widened read does not fit the caller's buffer: its data is copied below.
    const direct = into !== undefined && wide.length === length ? into : undefined
    const assemblies = await allSettled(
      split(wide, this.#negotiated.blockSize.maximum).map(part =>
        this.#readPart(part, direct?.subarray(part.offset - offset, part.offset - offset + part.length)),
      ),
    )
    const pieces: ReadPiece[] = []
    for (const assembly of assemblies) {
      for (const piece of assembly.pieces) {
        const start = Math.max(piece.offset, offset)
        const end = Math.min(piece.offset + piece.length, offset + length)
        if (start >= end) continue
        const extent = { offset: start, length: end - start }
        const bytes = piece.data ? assembly.bytes(extent) : undefined
        pieces.push({ ...extent, bytes: direct === undefined && bytes !== undefined ? placed(bytes, start - offset, into) : bytes })
      }
    }
    return pieces
  }

  async readInto(offset: number, target: Uint8Array): Promise<void> {
    this.#checkRange(offset, target.length)
    const range = { offset, length: target.length }
    if (range.length === 0) return
    const wide = widen(range, this.minimumBlockSize, this.size)
    if (wide.length !== range.length) return await this.#readWideInto(range, wide, target)
    await allSettled(
      split(range, this.#negotiated.blockSize.maximum).map(async part => {
        const at = part.offset - offset
        const into = part.length === target.length ? target : target.subarray(at, at + part.length)
        zeroHoles(await this.#readPart(part, into), into)
      }),
    )
  }

  async write(offset: number, bytes: Uint8Array, options: { readonly fua?: boolean } = {}): Promise<void> {
    this.#checkWrite(offset, bytes.length)
    const parts = bytes.length === 0 ? [] : split({ offset, length: bytes.length }, this.#negotiated.blockSize.maximum)
    await this.#changing(options.fua === true, flags =>
      parts.map(part => {
        const at = part.offset - offset
        return this.#request(NBD_CMD_WRITE, flags, part, { payload: bytes.subarray(at, at + part.length) })
      }),
    )
  }

  async writeZeroes(offset: number, length: number, options: { readonly noHole?: boolean } = {}): Promise<void> {
    this.#checkWrite(offset, length)
    if (length === 0) return
    if (!this.#has(NBD_FLAG_SEND_WRITE_ZEROES)) return await this.#writeZeroBytes(offset, length)
    const flags = options.noHole === true ? NBD_CMD_FLAG_NO_HOLE : 0
    await allSettled(split({ offset, length }, MAX_DATALESS).map(part => this.#request(NBD_CMD_WRITE_ZEROES, flags, part)))
  }

  async trim(offset: number, length: number): Promise<void> {
    this.#checkWrite(offset, length)
    // A hint: a server that knows no trim keeps the data, which is allowed.
    if (length === 0 || !this.#has(NBD_FLAG_SEND_TRIM)) return
    await allSettled(split({ offset, length }, MAX_DATALESS).map(part => this.#request(NBD_CMD_TRIM, 0, part)))
  }

  async flush(): Promise<void> {
    if (!this.#has(NBD_FLAG_SEND_FLUSH)) return
    await this.#request(NBD_CMD_FLUSH, 0, { offset: 0, length: 0 })
  }

  async blockStatus(offset: number, length: number): Promise<Status> {
    this.#checkRange(offset, length)
    if (length === 0) throw new NbdError('NBD_INPUT_INVALID', 'block status of nothing', { offset })
    // Without the context nothing is known: allocated data is always a right answer.
    if (!this.blockStatusAvailable) return [{ offset, length, hole: false, zero: false }]
    const wide = widen({ offset, length: Math.min(length, MAX_DATALESS) }, this.minimumBlockSize, this.size)
    const { extents } = await this.#request(NBD_CMD_BLOCK_STATUS, 0, wide)
    const status: { offset: number; length: number; hole: boolean; zero: boolean }[] = []
    let at = wide.offset
    for (const extent of extents ?? []) {
      const start = Math.max(at, offset)
      // The last extent may reach beyond the request.
      const end = Math.min(at + extent.length, offset + length, wide.offset + wide.length)
      at += extent.length
      if (start < end) status.push({ offset: start, length: end - start, hole: extent.hole, zero: extent.zero })
    }
    // All the server said lies before `offset`, within the widened first block.
    if (status.length === 0) return [{ offset, length: Math.min(length, this.minimumBlockSize), hole: false, zero: false }]
    return status
  }

  async close(): Promise<void> {
    this.#unlisten()
    await this.#lanes.close(new NbdError('NBD_CLOSED', 'the client was closed'))
  }

  #has(flag: number): boolean {
    return (this.#negotiated.flags & flag) !== 0
  }

  #checkRange(offset: number, length: number, maximum = Number.MAX_SAFE_INTEGER): void {
    const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && length <= maximum
    if (sane && offset + length <= this.size) return
    throw new NbdError('NBD_INPUT_INVALID', 'the range lies outside of the export', { offset, length, size: this.size })
  }

  #checkWrite(offset: number, length: number): void {
    this.#checkRange(offset, length)
    if (this.readOnly) throw requestFailed('EPERM', 'the export is read-only', { offset, length })
    const minimum = this.minimumBlockSize
    const end = offset + length
    if (offset % minimum === 0 && (end % minimum === 0 || end === this.size)) return
    throw new NbdError('NBD_INPUT_INVALID', `writes must be multiples of ${minimum} bytes`, { offset, length, minimum })
  }

  async #readPart(part: Extent, target?: Uint8Array): Promise<ReadAssembly> {
    const assembly = new ReadAssembly(part.offset, part.length, target)
    await this.#request(NBD_CMD_READ, 0, part, { assembly })
    return assembly
  }

  async #readWideInto(range: Extent, wide: Extent, target: Uint8Array): Promise<void> {
    await allSettled(
      split(wide, this.#negotiated.blockSize.maximum).map(async part => {
        const assembly = await this.#readPart(part)
        for (const piece of assembly.pieces) {
          const start = Math.max(piece.offset, range.offset)
          const end = Math.min(piece.offset + piece.length, range.offset + range.length)
          if (start >= end) continue
          if (piece.data) target.set(assembly.bytes({ offset: start, length: end - start }), start - range.offset)
          else target.fill(0, start - range.offset, end - range.offset)
        }
      }),
    )
  }

  async #writeZeroBytes(offset: number, length: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(length, this.#negotiated.blockSize.maximum, 1024 * 1024))
    for (const part of split({ offset, length }, zeros.length)) await this.write(part.offset, zeros.subarray(0, part.length))
  }

  /** Run changes with FUA, or with a flush after them where the server has none. */
  async #changing(fua: boolean, start: (flags: number) => Promise<unknown>[]): Promise<void> {
    const native = fua && this.#has(NBD_FLAG_SEND_FUA)
    await allSettled(start(native ? NBD_CMD_FLAG_FUA : 0))
    if (fua && !native) await this.flush()
  }

  #request(
    command: number,
    flags: number,
    range: Extent,
    more: { readonly assembly?: ReadAssembly; readonly payload?: Uint8Array } = {},
  ): Promise<WireRequest> {
    return new Promise((resolve, reject) => {
      const request: WireRequest = {
        command,
        flags,
        offset: range.offset,
        length: range.length,
        ...more,
        extents: undefined,
        error: undefined,
        settle: fatal => {
          if (fatal !== undefined) return reject(fatal)
          if (request.error === undefined) return resolve(request)
          const { errno, message } = request.error
          reject(requestFailed(errno, message === '' ? `the server answered ${errno}` : message, { command, ...range }))
        },
      }
      this.#lanes.submit(request)
    })
  }
}

function placed(bytes: Uint8Array, at: number, into: Uint8Array | undefined): Uint8Array {
  if (into === undefined) return bytes
  into.set(bytes, at)
  return into.subarray(at, at + bytes.length)
}

function zeroHoles(assembly: ReadAssembly, target: Uint8Array): void {
  for (const piece of assembly.pieces) {
    if (!piece.data) target.fill(0, piece.offset - assembly.offset, piece.offset - assembly.offset + piece.length)
  }
}

/**
 * All of them, then the first failure: when the caller hears of it, nothing is still filling its buffer.
 */
async function allSettled<T>(parts: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(parts)
  return outcomes.map(outcome => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}
