import {
  MAX_CHUNK_BODY,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_READ,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_FLAG_ERROR,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from '../constants.ts'
import { errnoName, protocolError } from '../errors.ts'
import { decodeBlockStatusBody, decodeErrorBody, type ErrorChunk, type StatusExtent } from './chunk.ts'
import type { ReadAssembly } from './read-assembly.ts'
import { readUint16, readUint32, readUint64 } from './uint64.ts'

/** A request on the wire and what has come of its reply. */
export interface OpenRequest {
  readonly command: number
  /** For NBD_CMD_READ. */
  readonly assembly?: ReadAssembly
  extents: StatusExtent[] | undefined
  error: ErrorChunk | undefined
}

export interface ReplyReaderOptions {
  readonly structuredReplies: boolean
  readonly allocationContext: number | undefined
  /** The open request with this cookie. */
  readonly find: (cookie: number) => OpenRequest | undefined
  /** Its reply is complete: `error`, `extents` and `assembly` tell the outcome. */
  readonly finished: (cookie: number, request: OpenRequest) => void
}

const NOTHING = new Uint8Array(0)

/**
 * Client side of transmission: bytes in any cut -> outcomes of open requests. Never sees a socket. Read data is copied once,
 * from the pushed bytes into the read's own buffer, or not at all: `directTarget()` names where the next bytes belong, so
 * that the socket can receive there.
 *
 * Throws NBD_PROTOCOL; after that the connection is out of step and must be dropped.
 */
export class ReplyReader {
  readonly #options: ReplyReaderOptions
  /** A header, collected: 16 bytes of simple reply, 20 of a chunk header, up to 32 with the fixed part of a read chunk. */
  readonly #head = new Uint8Array(32)
  #headLength = 0
  #headNeed = 16
  /** Where read data goes, and how much of it is there. */
  #data: Uint8Array = NOTHING
  #dataAt = 0
  /** The body of a chunk that is not read data. */
  #body: Uint8Array = NOTHING
  #bodyAt = 0
  #collectingBody = false
  #bytesRead = 0

  constructor(options: ReplyReaderOptions) {
    this.#options = options
  }

  /** Read data received so far. */
  get bytesRead(): number {
    return this.#bytesRead
  }

  /** The place for the next bytes of the stream, when they are read data. */
  directTarget(): Uint8Array | undefined {
    if (this.#dataAt === this.#data.length) return undefined
    return this.#dataAt === 0 ? this.#data : this.#data.subarray(this.#dataAt)
  }

  /** `length` bytes were received into `directTarget()`. */
  directReceived(length: number): void {
    this.#dataAt += length
    this.#bytesRead += length
    if (this.#dataAt === this.#data.length) this.#dataDone()
  }

  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#dataAt < this.#data.length) {
        const length = Math.min(this.#data.length - this.#dataAt, bytes.length - at)
        this.#data.set(bytes.subarray(at, at + length), this.#dataAt)
        at += length
        this.directReceived(length)
      } else if (this.#collectingBody) {
        const length = Math.min(this.#body.length - this.#bodyAt, bytes.length - at)
        this.#body.set(bytes.subarray(at, at + length), this.#bodyAt)
        at += length
        this.#bodyAt += length
        if (this.#bodyAt === this.#body.length) this.#bodyDone()
      } else {
        const length = Math.min(this.#headNeed - this.#headLength, bytes.length - at)
        for (let index = 0; index < length; index++) this.#head[this.#headLength + index] = bytes[at + index]!
        at += length
        this.#headLength += length
        if (this.#headLength === this.#headNeed) this.#headDone()
      }
    }
  }

  get #cookie(): number {
    return readUint32(this.#head, 12)
  }

  #request(): OpenRequest {
    const request = readUint32(this.#head, 8) === 0 ? this.#options.find(this.#cookie) : undefined
    if (request === undefined) throw protocolError('a reply to a request that is not open')
    return request
  }

  #headDone(): void {
    const magic = readUint32(this.#head, 0)
    if (magic === NBD_SIMPLE_REPLY_MAGIC) this.#simpleReply()
    else if (magic === NBD_STRUCTURED_REPLY_MAGIC && this.#options.structuredReplies) this.#chunk()
    else throw protocolError('a reply does not start with a known magic')
  }

  #simpleReply(): void {
    const request = this.#request()
    const errno = readUint32(this.#head, 4)
    if (errno !== 0) {
      request.error = { errno: errnoName(errno), message: '' }
    } else if (request.assembly !== undefined) {
      if (this.#options.structuredReplies) throw protocolError('a simple reply with data although structured replies were negotiated')
      this.#data = request.assembly.data(request.assembly.offset, request.assembly.length)
      this.#dataAt = 0
      return
    } else if (request.command === NBD_CMD_BLOCK_STATUS) {
      throw protocolError('a simple reply to a block status request')
    }
    this.#finish(request)
  }

  #chunk(): void {
    const type = readUint16(this.#head, 6)
    const length = readUint32(this.#head, 16)
    if (this.#headNeed === 16) {
      this.#headNeed = 20
      return
    }
    const request = this.#request()
    if (type === NBD_REPLY_TYPE_OFFSET_DATA || type === NBD_REPLY_TYPE_OFFSET_HOLE) {
      if (request.assembly === undefined) throw protocolError('read data for a request that is no read')
      const fixed = type === NBD_REPLY_TYPE_OFFSET_DATA ? 8 : 12
      if (type === NBD_REPLY_TYPE_OFFSET_DATA ? length <= 8 : length !== 12) {
        throw protocolError('a read chunk has an impossible length', { length })
      }
      if (this.#headNeed === 20) this.#headNeed = 20 + fixed
      else this.#readChunk(request.assembly, type, length)
      return
    }
    if (type === NBD_REPLY_TYPE_NONE) {
      if (length !== 0 || !this.#done) throw protocolError('an empty chunk with a body or without the end flag')
    } else if (type === NBD_REPLY_TYPE_BLOCK_STATUS) {
      if (request.command !== NBD_CMD_BLOCK_STATUS) throw protocolError('block status for a request that did not ask')
    } else if (type < NBD_REPLY_TYPE_FLAG_ERROR) {
      throw protocolError('a chunk of an unknown type', { type })
    }
    if (length > MAX_CHUNK_BODY) throw protocolError('a chunk is too long', { length })
    this.#body = length === 0 ? NOTHING : new Uint8Array(length)
    this.#bodyAt = 0
    if (length === 0) this.#bodyDone()
    else this.#collectingBody = true
  }

  #readChunk(assembly: ReadAssembly, type: number, length: number): void {
    const offset = readUint64(this.#head, 20, 'chunk offset')
    if (type === NBD_REPLY_TYPE_OFFSET_DATA) {
      this.#data = assembly.data(offset, length - 8)
      this.#dataAt = 0
    } else {
      assembly.hole(offset, readUint32(this.#head, 28))
      this.#chunkDone()
    }
  }

  #dataDone(): void {
    this.#data = NOTHING
    this.#dataAt = 0
    if (readUint32(this.#head, 0) === NBD_SIMPLE_REPLY_MAGIC) this.#finish(this.#request())
    else this.#chunkDone()
  }

  #bodyDone(): void {
    const request = this.#request()
    const type = readUint16(this.#head, 6)
    const body = this.#body
    this.#collectingBody = false
    this.#body = NOTHING
    if (type >= NBD_REPLY_TYPE_FLAG_ERROR) {
      request.error ??= decodeErrorBody(type, body)
    } else if (type === NBD_REPLY_TYPE_BLOCK_STATUS) {
      const context = this.#options.allocationContext
      if (context === undefined || request.extents !== undefined) throw protocolError('a block status chunk that was not asked for')
      request.extents = decodeBlockStatusBody(context, body)
    }
    this.#chunkDone()
  }

  get #done(): boolean {
    return (readUint16(this.#head, 4) & NBD_REPLY_FLAG_DONE) !== 0
  }

  #chunkDone(): void {
    if (this.#done) this.#finish(this.#request())
    else this.#nextHead()
  }

  #finish(request: OpenRequest): void {
    if (request.error === undefined) {
      if (request.command === NBD_CMD_READ && request.assembly?.complete !== true) throw protocolError('a read ended before all of it came')
      if (request.command === NBD_CMD_BLOCK_STATUS && request.extents === undefined)
        throw protocolError('a block status reply without extents')
    }
    const cookie = this.#cookie
    this.#nextHead()
    this.#options.finished(cookie, request)
  }

  #nextHead(): void {
    this.#headLength = 0
    this.#headNeed = 16
  }
}
