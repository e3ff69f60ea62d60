import { MAX_READ_PIECES } from '../constants.ts'
import { protocolError } from '../errors.ts'

/** A part of a read in disk offsets; without `data` it is a hole. */
export interface AssembledPiece {
  offset: number
  length: number
  readonly data: boolean
}

/**
 * The reply to one read, put together from chunks in any order.
 *
 *     request   [------------------------)
 *     chunks        [data----)   [hole---)      each inside, none twice,
 *               [h-)          [d)               together everything
 *
 * Data lands straight in `target`; it is allocated with the first data chunk, so a read of holes allocates nothing.
 */
export class ReadAssembly {
  readonly offset: number
  readonly length: number
  /** Ascending, without overlap; neighbours of one kind are joined. */
  readonly pieces: AssembledPiece[] = []
  #target: Uint8Array | undefined
  #covered = 0

  constructor(offset: number, length: number, target?: Uint8Array) {
    this.offset = offset
    this.length = length
    this.#target = target
  }

  /** A data chunk was announced: where its bytes belong. Throws NBD_PROTOCOL if it is outside or was sent already. */
  data(offset: number, length: number): Uint8Array {
    this.#add(offset, length, true)
    this.#target ??= Buffer.allocUnsafeSlow(this.length)
    const at = offset - this.offset
    return at === 0 && length === this.#target.length ? this.#target : this.#target.subarray(at, at + length)
  }

  /** A hole was announced. Throws NBD_PROTOCOL as `data` does. */
  hole(offset: number, length: number): void {
    this.#add(offset, length, false)
  }

  get complete(): boolean {
    return this.#covered === this.length
  }

  /** The received bytes of a data piece. */
  bytes(piece: { readonly offset: number; readonly length: number }): Uint8Array {
    const at = piece.offset - this.offset
    return this.#target!.subarray(at, at + piece.length)
  }

  #add(offset: number, length: number, data: boolean): void {
    if (length === 0 || offset < this.offset || offset + length > this.offset + this.length) {
      throw protocolError('a chunk lies outside of its read', { offset, length, readOffset: this.offset, readLength: this.length })
    }
    // Servers send ascending chunks: look from the end.
    let index = this.pieces.length
    while (index > 0 && this.pieces[index - 1]!.offset >= offset + length) index--
    const before = this.pieces[index - 1]
    if (before !== undefined && before.offset + before.length > offset) {
      throw protocolError('two chunks of a read overlap', { offset, length })
    }
    this.#covered += length
    if (before !== undefined && before.data === data && before.offset + before.length === offset) {
      before.length += length
      return
    }
    if (this.pieces.length >= MAX_READ_PIECES) throw protocolError('a read comes in too many pieces')
    if (index === this.pieces.length) this.pieces.push({ offset, length, data })
    else this.pieces.splice(index, 0, { offset, length, data })
  }
}
