import {
  BASE_ALLOCATION,
  MAX_OPTIONS,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_NO_ZEROES,
  NBD_IHAVEOPT,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_MAGIC,
  NBD_MAX_PAYLOAD,
  NBD_MAX_STRING,
  NBD_OLDSTYLE_MAGIC,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_FLAG_ERROR,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
} from '../constants.ts'
import { NbdError, protocolError } from '../errors.ts'
import { type Handshake, take } from './handshake-runner.ts'
import { BodyReader, decodeOptionReplyHeader, encodeOption, encodeString, OPTION_REPLY_HEADER_LENGTH } from './option.ts'
import { readUint16, readUint64 } from './uint64.ts'

/** What client and server agreed on; transmission follows. */
export interface Negotiated {
  readonly size: number
  /** Transmission flags (NBD_FLAG_*). */
  readonly flags: number
  readonly structuredReplies: boolean
  /** The id under which the server reports `base:allocation`. */
  readonly allocationContext: number | undefined
  readonly blockSize: BlockSize
}

/** Constraints in bytes: offsets and lengths are multiples of `minimum`, data payloads at most `maximum`. */
export interface BlockSize {
  readonly minimum: number
  readonly preferred: number
  readonly maximum: number
}

const DEFAULT_BLOCK_SIZE: BlockSize = { minimum: 1, preferred: 4096, maximum: NBD_MAX_PAYLOAD }

/** What the handshake asks of its client: put TLS under the connection, then answer. Bytes that came before that are an attack. */
export interface ClientAsk {
  readonly kind: 'start-tls'
}

/**
 * The client's side of the fixed newstyle handshake ("Newstyle negotiation"), up to transmission of `exportName`. With `tls` nothing is said
 * before TLS is there, not even the name, and a server without it is NBD_REFUSED.
 */
export function* clientHandshake(exportName: string, tls = false): Handshake<Negotiated, ClientAsk> {
  if (Buffer.byteLength(exportName) > NBD_MAX_STRING) {
    throw new NbdError('NBD_INPUT_INVALID', 'the export name is longer than 4096 bytes')
  }
  const serverFlags = yield* greeting()
  const fixed = (serverFlags & NBD_FLAG_FIXED_NEWSTYLE) !== 0
  const noZeroes = (serverFlags & NBD_FLAG_NO_ZEROES) !== 0
  const clientFlags = Buffer.alloc(4)
  clientFlags.writeUInt32BE((fixed ? NBD_FLAG_C_FIXED_NEWSTYLE : 0) | (noZeroes ? NBD_FLAG_C_NO_ZEROES : 0))
  yield { send: clientFlags }
  if (tls) {
    if (!fixed) throw new NbdError('NBD_REFUSED', 'the server offers no TLS', { reply: 'not fixed newstyle' })
    yield* startTls()
  }
  // A server that is not "fixed" may only be sent NBD_OPT_EXPORT_NAME.
  if (!fixed) return yield* exportNameOption(exportName, noZeroes, false, undefined)

  const structuredReplies = yield* structuredReplyOption()
  const allocationContext = structuredReplies ? yield* metaContextOption(exportName) : undefined
  const gone = yield* goOption(exportName)
  if (gone !== undefined) return { ...gone, structuredReplies, allocationContext }
  return yield* exportNameOption(exportName, noZeroes, structuredReplies, allocationContext)
}

function* greeting(): Handshake<number> {
  const start = yield* take(16)
  const magic = Buffer.from(start).readBigUInt64BE(0)
  const style = Buffer.from(start).readBigUInt64BE(8)
  if (magic !== NBD_MAGIC) throw protocolError('the peer is not an NBD server')
  if (style === NBD_OLDSTYLE_MAGIC) throw new NbdError('NBD_REFUSED', 'the server speaks only the oldstyle handshake')
  if (style !== NBD_IHAVEOPT) throw protocolError('the greeting of the server is unknown')
  return readUint16(yield* take(2), 0)
}

interface OptionReply {
  readonly type: number
  readonly body: Uint8Array
}

function* optionReply(option: number): Handshake<OptionReply> {
  const { type, length } = decodeOptionReplyHeader(yield* take(OPTION_REPLY_HEADER_LENGTH), option)
  return { type, body: yield* take(length) }
}

function* startTls(): Handshake<void, ClientAsk> {
  yield { send: encodeOption(NBD_OPT_STARTTLS) }
  const { type, body } = yield* optionReply(NBD_OPT_STARTTLS)
  if (type === NBD_REP_ERR_UNSUP) throw new NbdError('NBD_REFUSED', 'the server offers no TLS', { reply: readableReply(type) })
  if (type >= NBD_REP_FLAG_ERROR) throw refusal(type, body)
  if (type !== NBD_REP_ACK || body.length > 0) throw protocolError('unexpected reply to NBD_OPT_STARTTLS', { type })
  yield { ask: { kind: 'start-tls' } }
}

function* structuredReplyOption(): Handshake<boolean> {
  yield { send: encodeOption(NBD_OPT_STRUCTURED_REPLY) }
  const { type } = yield* optionReply(NBD_OPT_STRUCTURED_REPLY)
  if (type >= NBD_REP_FLAG_ERROR) return false
  if (type !== NBD_REP_ACK) throw protocolError('unexpected reply to NBD_OPT_STRUCTURED_REPLY', { type })
  return true
}

function* metaContextOption(exportName: string): Handshake<number | undefined> {
  const queries = Buffer.alloc(4)
  queries.writeUInt32BE(1)
  const body = Buffer.concat([encodeString(exportName), queries, encodeString(BASE_ALLOCATION)])
  yield { send: encodeOption(NBD_OPT_SET_META_CONTEXT, body) }
  let context: number | undefined
  for (let replies = 0; replies < MAX_OPTIONS; replies++) {
    const { type, body } = yield* optionReply(NBD_OPT_SET_META_CONTEXT)
    if (type === NBD_REP_ACK) return context
    // Not supported, or the export is unknown: NBD_OPT_GO will say it clearly.
    if (type >= NBD_REP_FLAG_ERROR) return undefined
    if (type !== NBD_REP_META_CONTEXT) throw protocolError('unexpected reply to NBD_OPT_SET_META_CONTEXT', { type })
    const reader = new BodyReader(body)
    const id = reader.uint32()
    if (reader.string(reader.left) === BASE_ALLOCATION) context = id
  }
  throw protocolError('the server does not end its replies to NBD_OPT_SET_META_CONTEXT')
}

type Export = Pick<Negotiated, 'size' | 'flags' | 'blockSize'>

/** `undefined` when the server does not know NBD_OPT_GO. */
function* goOption(exportName: string): Handshake<Export | undefined> {
  const informations = Buffer.alloc(4)
  informations.writeUInt16BE(1, 0)
  informations.writeUInt16BE(NBD_INFO_BLOCK_SIZE, 2)
  yield { send: encodeOption(NBD_OPT_GO, Buffer.concat([encodeString(exportName), informations])) }
  let facts: { size: number; flags: number } | undefined
  let blockSize = DEFAULT_BLOCK_SIZE
  for (let replies = 0; replies < MAX_OPTIONS; replies++) {
    const { type, body } = yield* optionReply(NBD_OPT_GO)
    if (type === NBD_REP_ERR_UNSUP) return undefined
    if (type >= NBD_REP_FLAG_ERROR) throw refusal(type, body)
    if (type === NBD_REP_ACK) {
      if (facts === undefined) throw protocolError('the server accepts NBD_OPT_GO without NBD_INFO_EXPORT')
      return { ...facts, blockSize }
    }
    if (type !== NBD_REP_INFO) throw protocolError('unexpected reply to NBD_OPT_GO', { type })
    const reader = new BodyReader(body)
    const information = reader.uint16()
    if (information === NBD_INFO_EXPORT) facts = exportFacts(reader.uint64('size'), reader.uint16())
    if (information === NBD_INFO_BLOCK_SIZE) blockSize = checkBlockSize(reader.uint32(), reader.uint32(), reader.uint32())
  }
  throw protocolError('the server does not end its replies to NBD_OPT_GO')
}

/** The last resort; a server that does not know the name just closes. */
function* exportNameOption(
  exportName: string,
  noZeroes: boolean,
  structuredReplies: boolean,
  allocationContext: number | undefined,
): Handshake<Negotiated> {
  yield { send: encodeOption(NBD_OPT_EXPORT_NAME, Buffer.from(exportName)) }
  const body = yield* take(noZeroes ? 10 : 134)
  const facts = exportFacts(readUint64(body, 0, 'size'), readUint16(body, 8))
  return { ...facts, structuredReplies, allocationContext, blockSize: DEFAULT_BLOCK_SIZE }
}

function exportFacts(size: number, flags: number): { size: number; flags: number } {
  // Without HAS_FLAGS the other bits mean nothing.
  return { size, flags: (flags & NBD_FLAG_HAS_FLAGS) === 0 ? 0 : flags }
}

function checkBlockSize(minimum: number, preferred: number, maximum: number): BlockSize {
  const powerOfTwo = (value: number) => value > 0 && Number.isInteger(Math.log2(value))
  // The specification allows minimum up to 64 KiB; some servers say more.
  if (!powerOfTwo(minimum) || minimum > 1024 * 1024 || maximum < minimum) {
    throw protocolError('the block sizes of the server are impossible', { minimum, preferred, maximum })
  }
  const bounded = Math.min(maximum, NBD_MAX_PAYLOAD)
  return { minimum, preferred, maximum: bounded - (bounded % minimum) }
}

function refusal(type: number, body: Uint8Array): NbdError {
  const said = Buffer.from(body.subarray(0, NBD_MAX_STRING)).toString('utf8')
  if (type === NBD_REP_ERR_UNKNOWN) return new NbdError('NBD_EXPORT_UNKNOWN', said || 'the server does not know this export')
  const reply = readableReply(type)
  return new NbdError('NBD_REFUSED', said || `the server refused the export (${reply})`, { reply })
}

function readableReply(type: number): string {
  const names = ['UNSUP', 'POLICY', 'INVALID', 'PLATFORM', 'TLS_REQD', 'UNKNOWN', 'SHUTDOWN', 'BLOCK_SIZE_REQD', 'TOO_BIG']
  return `NBD_REP_ERR_${names[type - NBD_REP_FLAG_ERROR - 1] ?? type}`
}
