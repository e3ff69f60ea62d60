import { NBD_REQUEST_MAGIC } from '../constants.ts'
import { protocolError } from '../errors.ts'
import { readUint16, readUint32, readUint64, writeUint16, writeUint32, writeUint64 } from './uint64.ts'

export const REQUEST_LENGTH = 28

/** The header of one request; the payload of a write follows it on the wire. */
export interface Request {
  /** NBD_CMD_FLAG_*. */
  readonly flags: number
  /** NBD_CMD_*. */
  readonly command: number
  /** 8 bytes that the reply repeats; `low` is ours to count, `high` is carried through. */
  readonly cookie: Cookie
  readonly offset: number
  readonly length: number
}

export interface Cookie {
  readonly high: number
  readonly low: number
}

export function encodeRequest(request: Request): Uint8Array {
  const bytes = Buffer.allocUnsafe(REQUEST_LENGTH)
  writeUint32(bytes, 0, NBD_REQUEST_MAGIC)
  writeUint16(bytes, 4, request.flags)
  writeUint16(bytes, 6, request.command)
  writeUint32(bytes, 8, request.cookie.high)
  writeUint32(bytes, 12, request.cookie.low)
  writeUint64(bytes, 16, request.offset)
  writeUint32(bytes, 24, request.length)
  return bytes
}

/**
 * Decode the 28 bytes of a request header. Throws NBD_PROTOCOL on a wrong magic (the stream is out of step). An offset above 8 PiB, which is
 * past the end of every export, becomes `Number.MAX_SAFE_INTEGER`, so that the request gets its proper error reply.
 */
export function decodeRequest(bytes: Uint8Array): Request {
  if (readUint32(bytes, 0) !== NBD_REQUEST_MAGIC) throw protocolError('a request does not start with its magic')
  const high = readUint32(bytes, 16)
  return {
    flags: readUint16(bytes, 4),
    command: readUint16(bytes, 6),
    cookie: { high: readUint32(bytes, 8), low: readUint32(bytes, 12) },
    offset: high > 0x1fffff ? Number.MAX_SAFE_INTEGER : readUint64(bytes, 16, 'offset'),
    length: readUint32(bytes, 24),
  }
}
