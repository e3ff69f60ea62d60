import {
  NBD_ERRNO,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from '../constants.ts'
import type { NbdErrorName } from '../server/backend.ts'
import type { Cookie } from './request.ts'
import { writeUint16, writeUint32, writeUint64 } from './uint64.ts'

export const SIMPLE_REPLY_LENGTH = 16
export const CHUNK_HEADER_LENGTH = 20

/** A simple reply's header; the data of a successful read follows it. `errno` undefined is success. */
export function encodeSimpleReply(cookie: Cookie, errno?: NbdErrorName): Uint8Array {
  const bytes = Buffer.allocUnsafe(SIMPLE_REPLY_LENGTH)
  writeUint32(bytes, 0, NBD_SIMPLE_REPLY_MAGIC)
  writeUint32(bytes, 4, errno === undefined ? 0 : NBD_ERRNO[errno])
  writeUint32(bytes, 8, cookie.high)
  writeUint32(bytes, 12, cookie.low)
  return bytes
}

function encodeChunk(cookie: Cookie, type: number, done: boolean, inline: number, following = 0): Buffer {
  const bytes = Buffer.allocUnsafe(CHUNK_HEADER_LENGTH + inline)
  writeUint32(bytes, 0, NBD_STRUCTURED_REPLY_MAGIC)
  writeUint16(bytes, 4, done ? NBD_REPLY_FLAG_DONE : 0)
  writeUint16(bytes, 6, type)
  writeUint32(bytes, 8, cookie.high)
  writeUint32(bytes, 12, cookie.low)
  writeUint32(bytes, 16, inline + following)
  return bytes
}

export function encodeDoneChunk(cookie: Cookie): Uint8Array {
  return encodeChunk(cookie, NBD_REPLY_TYPE_NONE, true, 0)
}

/** Header and offset of a data chunk; `length` bytes of data follow. */
export function encodeDataChunk(cookie: Cookie, offset: number, length: number, done: boolean): Uint8Array {
  const bytes = encodeChunk(cookie, NBD_REPLY_TYPE_OFFSET_DATA, done, 8, length)
  writeUint64(bytes, 20, offset)
  return bytes
}

export function encodeHoleChunk(cookie: Cookie, offset: number, length: number, done: boolean): Uint8Array {
  const bytes = encodeChunk(cookie, NBD_REPLY_TYPE_OFFSET_HOLE, done, 12)
  writeUint64(bytes, 20, offset)
  writeUint32(bytes, 28, length)
  return bytes
}

/** A chunk with its whole body, for the small ones. */
export function encodeBodyChunk(cookie: Cookie, type: number, body: Uint8Array, done: boolean): Uint8Array {
  const bytes = encodeChunk(cookie, type, done, body.length)
  bytes.set(body, CHUNK_HEADER_LENGTH)
  return bytes
}

/** An error that ends the reply. */
export function encodeErrorChunk(cookie: Cookie, errno: NbdErrorName, message: string): Uint8Array {
  const text = Buffer.from(message).subarray(0, 512)
  const body = Buffer.allocUnsafe(6 + text.length)
  writeUint32(body, 0, NBD_ERRNO[errno])
  writeUint16(body, 4, text.length)
  body.set(text, 6)
  return encodeBodyChunk(cookie, NBD_REPLY_TYPE_ERROR, body, true)
}
