import { encodeDataChunk, encodeDoneChunk, encodeHoleChunk, encodeSimpleReply } from '../codec/reply.ts'
import type { Request } from '../codec/request.ts'
import { NBD_CMD_FLAG_DF } from '../constants.ts'
import { requestFailed } from '../errors.ts'
import type { NbdBackend, NbdErrorName } from './backend.ts'
import type { ExecuteContext } from './execute.ts'

/** Bytes for the socket, in order; `buffer` goes back to the pool once they are sent. */
export interface Reply {
  readonly parts: readonly Uint8Array[]
  readonly buffer: Uint8Array | undefined
  readonly failure?: { readonly errno: NbdErrorName; readonly error: unknown }
}

/** Zeros shorter than this are sent as data: a hole chunk costs its header and a piece at the other end. */
const SMALLEST_HOLE = 4096

export interface Segment {
  readonly offset: number
  length: number
  zero: boolean
}

/**
 * A read: with structured replies, what reads as zeros goes out as hole chunks and is not even read.
 *
 *     status    |data  |zero      |data|     (from the backend)
 *     chunks    [DATA) [HOLE)     [DATA, done)
 *
 * All data is read before the first chunk is sent, so that a failure is one plain error reply.
 */
export async function readReply(request: Request, context: ExecuteContext): Promise<Reply> {
  const { backend, structuredReplies, pool } = context
  const { cookie, offset, length } = request
  if (length === 0) return { parts: [structuredReplies ? encodeDoneChunk(cookie) : encodeSimpleReply(cookie)], buffer: undefined }
  let segments = structuredReplies ? await segmentsOf(backend, offset, length) : [{ offset, length, zero: false }]
  if (segments.length > 1 && (request.flags & NBD_CMD_FLAG_DF) !== 0) segments = [{ offset, length, zero: false }]
  const buffer = segments.some(segment => !segment.zero) ? pool.take(length) : undefined
  try {
    for (const segment of segments) if (!segment.zero) await backend.read(segment.offset, bytesOf(segment))
  } catch (error) {
    if (buffer !== undefined) pool.give(buffer)
    throw error
  }
  if (!structuredReplies) return { parts: [encodeSimpleReply(cookie), buffer!], buffer }
  const parts: Uint8Array[] = []
  for (const [index, segment] of segments.entries()) {
    const done = index === segments.length - 1
    if (segment.zero) parts.push(encodeHoleChunk(cookie, segment.offset, segment.length, done))
    else parts.push(encodeDataChunk(cookie, segment.offset, segment.length, done), bytesOf(segment))
  }
  return { parts, buffer }

  function bytesOf(segment: Segment): Uint8Array {
    const at = segment.offset - offset
    return segment.length === length ? buffer! : buffer!.subarray(at, at + segment.length)
  }
}

/** The range in alternating segments of data and zeros. */
export async function segmentsOf(backend: Pick<NbdBackend, 'blockStatus'>, offset: number, length: number): Promise<Segment[]> {
  const segments: Segment[] = []
  const end = offset + length
  for (let at = offset; at < end; ) {
    const before = at
    for (const extent of await backend.blockStatus(at, end - at)) {
      const part = Math.min(extent.length, end - at)
      if (part <= 0) continue
      append(segments, { offset: at, length: part, zero: extent.zero })
      at += part
    }
    if (at === before) throw requestFailed('EIO', 'the backend knows no status')
  }
  return segments
}

function append(segments: Segment[], next: Segment): void {
  const last = segments.at(-1)
  if (last === undefined) {
    segments.push(next)
  } else if (last.zero === next.zero) {
    last.length += next.length
  } else if (!next.zero && last.length < SMALLEST_HOLE) {
    // The short hole before this data becomes data, and with it what came before.
    segments.pop()
    append(segments, { offset: last.offset, length: last.length + next.length, zero: false })
  } else {
    segments.push(next)
  }
}
