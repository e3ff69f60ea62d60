import { MAX_CHUNK_BODY, NBD_MAX_STRING, NBD_REPLY_TYPE_ERROR_OFFSET, NBD_STATE_HOLE, NBD_STATE_ZERO } from '../constants.ts'
import { errnoName, protocolError } from '../errors.ts'
import type { NbdErrorName } from '../server/backend.ts'
import { readUint16, readUint32, writeUint32 } from './uint64.ts'

/** What an error chunk says. */
export interface ErrorChunk {
  readonly errno: NbdErrorName
  readonly message: string
}

/** The body of NBD_REPLY_TYPE_ERROR, ERROR_OFFSET, or an error type that we do not know (which must begin alike). */
export function decodeErrorBody(type: number, body: Uint8Array): ErrorChunk {
  if (body.length < 6) throw protocolError('an error chunk is too short', { length: body.length })
  const errno = readUint32(body, 0)
  const length = readUint16(body, 4)
  const tail = type === NBD_REPLY_TYPE_ERROR_OFFSET ? 8 : 0
  if (errno === 0) throw protocolError('an error chunk carries no error')
  if (length > NBD_MAX_STRING || 6 + length + tail > body.length) throw protocolError('an error chunk lies about its length')
  return { errno: errnoName(errno), message: Buffer.from(body.subarray(6, 6 + length)).toString('utf8') }
}

/** One extent of `base:allocation`. */
export interface StatusExtent {
  readonly length: number
  readonly hole: boolean
  readonly zero: boolean
}

/** The body of NBD_REPLY_TYPE_BLOCK_STATUS for the context `id`. */
export function decodeBlockStatusBody(id: number, body: Uint8Array): StatusExtent[] {
  if (body.length < 12 || (body.length - 4) % 8 !== 0 || body.length > MAX_CHUNK_BODY) {
    throw protocolError('a block status chunk has an impossible length', { length: body.length })
  }
  if (readUint32(body, 0) !== id) throw protocolError('a block status chunk is of a context that was not negotiated')
  const extents: StatusExtent[] = []
  for (let at = 4; at < body.length; at += 8) {
    const length = readUint32(body, at)
    const state = readUint32(body, at + 4)
    if (length === 0) throw protocolError('a block status extent is empty')
    extents.push({ length, hole: (state & NBD_STATE_HOLE) !== 0, zero: (state & NBD_STATE_ZERO) !== 0 })
  }
  return extents
}

export function encodeBlockStatusBody(id: number, extents: readonly StatusExtent[]): Uint8Array {
  const body = Buffer.allocUnsafe(4 + extents.length * 8)
  writeUint32(body, 0, id)
  let at = 4
  for (const extent of extents) {
    writeUint32(body, at, extent.length)
    writeUint32(body, at + 4, (extent.hole ? NBD_STATE_HOLE : 0) | (extent.zero ? NBD_STATE_ZERO : 0))
    at += 8
  }
  return body
}
