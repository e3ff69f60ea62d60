import { MAX_OPTION_LENGTH, NBD_IHAVEOPT, NBD_MAX_STRING, NBD_REP_MAGIC } from '../constants.ts'
import { protocolError } from '../errors.ts'
import { readUint16, readUint32, readUint64 } from './uint64.ts'

/** An option request or option reply: its type and body. */
export interface OptionHeader {
  readonly type: number
  readonly length: number
}

export const OPTION_HEADER_LENGTH = 16
export const OPTION_REPLY_HEADER_LENGTH = 20

/** Client to server: IHAVEOPT, option, length, data. */
export function encodeOption(option: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = Buffer.alloc(OPTION_HEADER_LENGTH + body.length)
  bytes.writeBigUInt64BE(NBD_IHAVEOPT, 0)
  bytes.writeUInt32BE(option, 8)
  bytes.writeUInt32BE(body.length, 12)
  bytes.set(body, OPTION_HEADER_LENGTH)
  return bytes
}

export function decodeOptionHeader(bytes: Uint8Array): OptionHeader {
  if (asBuffer(bytes).readBigUInt64BE(0) !== NBD_IHAVEOPT) throw protocolError('an option does not start with its magic')
  return { type: readUint32(bytes, 8), length: readUint32(bytes, 12) }
}

/** Server to client: magic, option, reply type, length, data. */
export function encodeOptionReply(option: number, type: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = Buffer.alloc(OPTION_REPLY_HEADER_LENGTH + body.length)
  bytes.writeBigUInt64BE(NBD_REP_MAGIC, 0)
  bytes.writeUInt32BE(option, 8)
  bytes.writeUInt32BE(type, 12)
  bytes.writeUInt32BE(body.length, 16)
  bytes.set(body, OPTION_REPLY_HEADER_LENGTH)
  return bytes
}

/** The header of a reply to `option`. Throws NBD_PROTOCOL on another option, a wrong magic or a body above the bound. */
export function decodeOptionReplyHeader(bytes: Uint8Array, option: number): OptionHeader {
  if (asBuffer(bytes).readBigUInt64BE(0) !== NBD_REP_MAGIC) throw protocolError('an option reply does not start with its magic')
  if (readUint32(bytes, 8) !== option)
    throw protocolError('the server answers an option that was not sent', { option: readUint32(bytes, 8) })
  const length = readUint32(bytes, 16)
  if (length > MAX_OPTION_LENGTH) throw protocolError('an option reply is too long', { length })
  return { type: readUint32(bytes, 12), length }
}

/** Reads fields of an option's body one after the other; every one is checked against the end. */
export class BodyReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  uint16(): number {
    return readUint16(this.#bytes, this.#advance(2))
  }

  uint32(): number {
    return readUint32(this.#bytes, this.#advance(4))
  }

  uint64(field: string): number {
    return readUint64(this.#bytes, this.#advance(8), field)
  }

  /** A string of `length` bytes of UTF-8, at most 4096. */
  string(length: number): string {
    if (length > NBD_MAX_STRING) throw protocolError('a string is longer than 4096 bytes', { length })
    const at = this.#advance(length)
    return asBuffer(this.#bytes).toString('utf8', at, at + length)
  }

  #advance(length: number): number {
    if (length > this.left) throw protocolError('an option body ends too early')
    const at = this.#at
    this.#at += length
    return at
  }
}

/** A string with its length (4 bytes) before it. */
export function encodeString(text: string): Uint8Array {
  const body = Buffer.from(text)
  const bytes = Buffer.alloc(4 + body.length)
  bytes.writeUInt32BE(body.length, 0)
  bytes.set(body, 4)
  return bytes
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
