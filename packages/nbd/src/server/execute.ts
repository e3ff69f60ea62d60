import { encodeBlockStatusBody, type StatusExtent } from '../codec/chunk.ts'
import { encodeBodyChunk, encodeErrorChunk, encodeSimpleReply } from '../codec/reply.ts'
import type { Request } from '../codec/request.ts'
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FAST_ZERO,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_MAX_PAYLOAD,
  NBD_REPLY_TYPE_BLOCK_STATUS,
} from '../constants.ts'
import { NbdError, requestFailed } from '../errors.ts'
import type { NbdBackend, NbdErrorName } from './backend.ts'
import type { BufferPool } from './buffer-pool.ts'
import { type Reply, readReply } from './read-reply.ts'

/** What the handshake of this connection settled. */
export interface ExecuteContext {
  readonly backend: NbdBackend
  readonly structuredReplies: boolean
  readonly allocationContext: number | undefined
  readonly pool: BufferPool
}

/** Extents in one block status reply; a client asks on from the end of the last. */
const MAX_EXTENTS = 16_384

/** Flags that a command knows; FUA is accepted with all of them, as the specification wants. */
const FLAGS: ReadonlyMap<number, number> = new Map([
  [NBD_CMD_READ, NBD_CMD_FLAG_DF],
  [NBD_CMD_WRITE, 0],
  [NBD_CMD_FLUSH, 0],
  [NBD_CMD_TRIM, 0],
  [NBD_CMD_CACHE, 0],
  [NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO],
  [NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE],
])

/** Carry out one request. Never throws: failures become the error reply that the specification names. */
export async function execute(request: Request, payload: Uint8Array | undefined, context: ExecuteContext): Promise<Reply> {
  try {
    check(request, context)
    return await carryOut(request, payload, context)
  } catch (error) {
    return errorReply(request, errnoOf(error), error, context)
  }
}

/** "Error values": which wrong request gets which error. */
function check(request: Request, context: ExecuteContext): void {
  const { command, flags, offset, length } = request
  const known = FLAGS.get(command)
  if (known === undefined) throw requestFailed('EINVAL', 'unknown command')
  if ((flags & ~(known | NBD_CMD_FLAG_FUA)) !== 0) throw requestFailed('EINVAL', 'unknown command flag')
  if ((flags & NBD_CMD_FLAG_DF) !== 0 && !context.structuredReplies) throw requestFailed('EINVAL', 'DF without structured replies')
  if (command === NBD_CMD_BLOCK_STATUS && context.allocationContext === undefined)
    throw requestFailed('EINVAL', 'no context was negotiated')
  const { backend } = context
  const changes = command === NBD_CMD_WRITE || command === NBD_CMD_TRIM || command === NBD_CMD_WRITE_ZEROES
  if (changes && backend.readOnly) throw requestFailed('EPERM', 'the export is read-only')
  if (command === NBD_CMD_FLUSH) return
  if ((command === NBD_CMD_READ || command === NBD_CMD_WRITE) && length > NBD_MAX_PAYLOAD) throw requestFailed('EINVAL', 'more than 32 MiB')
  if (offset + length > backend.size) {
    const full = command === NBD_CMD_WRITE || command === NBD_CMD_WRITE_ZEROES
    throw requestFailed(full ? 'ENOSPC' : 'EINVAL', 'past the end of the export')
  }
  const { minimum } = backend.blockSize
  const end = offset + length
  if (offset % minimum !== 0 || (end % minimum !== 0 && end !== backend.size)) {
    throw requestFailed('EINVAL', `not a multiple of ${minimum} bytes`)
  }
}

async function carryOut(request: Request, payload: Uint8Array | undefined, context: ExecuteContext): Promise<Reply> {
  const { backend } = context
  const { command, flags, offset, length } = request
  const fua = (flags & NBD_CMD_FLAG_FUA) !== 0
  switch (command) {
    case NBD_CMD_READ:
      return await readReply(request, context)
    case NBD_CMD_WRITE:
      // Without a payload the connection had no place for it.
      if (payload === undefined) throw requestFailed('ENOMEM', 'no memory for the payload')
      if (length > 0) await backend.write(offset, payload, fua)
      break
    case NBD_CMD_FLUSH:
      await backend.flush()
      break
    case NBD_CMD_TRIM:
      if (length > 0) await backend.trim(offset, length, fua)
      break
    case NBD_CMD_WRITE_ZEROES: {
      const mayTrim = (flags & NBD_CMD_FLAG_NO_HOLE) === 0
      // A hole is fast; zeros that must be allocated are as slow as a write, and FAST_ZERO wants to hear that before anything changed.
      if (!mayTrim && (flags & NBD_CMD_FLAG_FAST_ZERO) !== 0) throw requestFailed('ENOTSUP', 'not faster than a write')
      if (length > 0) await backend.writeZeroes(offset, length, fua, mayTrim)
      break
    }
    case NBD_CMD_BLOCK_STATUS:
      return { parts: [await blockStatus(request, context)], buffer: undefined }
  }
  return { parts: [encodeSimpleReply(request.cookie)], buffer: undefined }
}

async function blockStatus(request: Request, context: ExecuteContext): Promise<Uint8Array> {
  const { offset, length, flags, cookie } = request
  if (length === 0) throw requestFailed('EINVAL', 'block status of nothing')
  const one = (flags & NBD_CMD_FLAG_REQ_ONE) !== 0
  const extents = joined(await context.backend.blockStatus(offset, length), length).slice(0, one ? 1 : MAX_EXTENTS)
  if (extents.length === 0) throw requestFailed('EIO', 'the backend knows no status')
  const body = encodeBlockStatusBody(context.allocationContext!, extents)
  return encodeBodyChunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, body, true)
}

/** Neighbours of one kind as one extent (as the specification asks), cut at `length`. */
function joined(extents: readonly StatusExtent[], length: number): StatusExtent[] {
  const result: { length: number; hole: boolean; zero: boolean }[] = []
  let left = length
  for (const extent of extents) {
    const part = Math.min(extent.length, left)
    if (part <= 0) continue
    left -= part
    const last = result.at(-1)
    if (last !== undefined && last.hole === extent.hole && last.zero === extent.zero) last.length += part
    else result.push({ length: part, hole: extent.hole, zero: extent.zero })
  }
  return result
}

function errorReply(request: Request, errno: NbdErrorName, error: unknown, context: ExecuteContext): Reply {
  const structured = context.structuredReplies && (request.command === NBD_CMD_READ || request.command === NBD_CMD_BLOCK_STATUS)
  // Only what was thrown for the peer is told to the peer.
  const message = error instanceof NbdError ? error.message : ''
  const bytes = structured ? encodeErrorChunk(request.cookie, errno, message) : encodeSimpleReply(request.cookie, errno)
  return { parts: [bytes], buffer: undefined, failure: { errno, error } }
}

/** The error value for what a backend threw; "map EDQUOT and EFBIG to NBD_ENOSPC", unknown ones to EIO. */
export function errnoOf(error: unknown): NbdErrorName {
  if (error instanceof NbdError && error.code === 'NBD_REQUEST_FAILED') return (error.context.errno as NbdErrorName | undefined) ?? 'EIO'
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') return 'ENOSPC'
  if (code === 'EPERM' || code === 'EROFS' || code === 'EACCES') return 'EPERM'
  if (code === 'ENOMEM') return 'ENOMEM'
  return 'EIO'
}
