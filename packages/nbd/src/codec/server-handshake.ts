import {
  BASE_ALLOCATION,
  MAX_OPTION_LENGTH,
  MAX_OPTIONS,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_FLAG_SEND_DF,
  NBD_IHAVEOPT,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME,
  NBD_MAGIC,
  NBD_MAX_PAYLOAD,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_TOO_BIG,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
} from '../constants.ts'
import { NbdError, protocolError } from '../errors.ts'
import { type Handshake, take } from './handshake-runner.ts'
import { BodyReader, decodeOptionHeader, encodeOptionReply, encodeString, OPTION_HEADER_LENGTH } from './option.ts'
import { readUint32 } from './uint64.ts'

/** What the handshake asks of its server. 'start-tls': put TLS under the connection, then answer; bytes that came before that are an attack. */
export type ServerAsk = ExportAsk | { readonly kind: 'start-tls' }
export type ExportAsk = { readonly kind: 'open'; readonly name: string } | { readonly kind: 'list' }

export interface Refusal {
  /** NBD_REP_ERR_*. */
  readonly refused: number
  readonly message: string
}

/** Answer to 'open': the export is held open for this connection. */
export interface ExportFacts {
  readonly size: number
  /** Transmission flags without NBD_FLAG_SEND_DF, which the handshake adds. */
  readonly flags: number
  readonly blockSize: { readonly minimum: number; readonly preferred: number }
}

/** Answer to 'list'. */
export interface ExportList {
  readonly names: readonly string[]
}

/** The connection enters transmission on the export that was opened last. */
export interface ServerNegotiated {
  readonly name: string
  readonly structuredReplies: boolean
  /** `base:allocation` is reported, under this id. */
  readonly allocationContext: number | undefined
}

const ALLOCATION_CONTEXT = 1
/** Discarded at most, when an option is too long. */
const MAX_DISCARD = 1024 * 1024

interface State {
  structuredReplies: boolean
  /** The export for which the client selected `base:allocation`. */
  contextOf: string | undefined
  noZeroes: boolean
  tls: 'none' | 'required' | 'started'
}

/**
 * The server's side of the fixed newstyle handshake. Result `undefined`: the client ended it properly. With `tls` it is the specification's
 * FORCEDTLS mode: until TLS is there every option but NBD_OPT_STARTTLS and NBD_OPT_ABORT is refused. Otherwise it is NOTLS.
 */
export function* serverHandshake(tls = false): Handshake<ServerNegotiated | undefined, ServerAsk> {
  const greeting = Buffer.alloc(18)
  greeting.writeBigUInt64BE(NBD_MAGIC, 0)
  greeting.writeBigUInt64BE(NBD_IHAVEOPT, 8)
  greeting.writeUInt16BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES, 16)
  yield { send: greeting }
  const clientFlags = readUint32(yield* take(4), 0)
  if ((clientFlags & ~(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)) !== 0)
    throw protocolError('unknown client flags', { clientFlags })
  const state: State = {
    structuredReplies: false,
    contextOf: undefined,
    noZeroes: (clientFlags & NBD_FLAG_C_NO_ZEROES) !== 0,
    tls: tls ? 'required' : 'none',
  }

  for (let options = 0; options < MAX_OPTIONS; options++) {
    const { type, length } = decodeOptionHeader(yield* take(OPTION_HEADER_LENGTH))
    if (length > MAX_OPTION_LENGTH) {
      yield* discard(length)
      if (type === NBD_OPT_EXPORT_NAME) throw protocolError('an export name is too long')
      yield { send: encodeOptionReply(type, NBD_REP_ERR_TOO_BIG) }
      continue
    }
    const body = yield* take(length)
    if (state.tls === 'required' && type !== NBD_OPT_STARTTLS && type !== NBD_OPT_ABORT) {
      // This option has no error reply: the specification wants the connection closed.
      if (type === NBD_OPT_EXPORT_NAME) throw new NbdError('NBD_REFUSED', 'the client does not start TLS')
      yield { send: encodeOptionReply(type, NBD_REP_ERR_TLS_REQD, Buffer.from('TLS is required')) }
      continue
    }
    if (type === NBD_OPT_EXPORT_NAME) return yield* exportName(body, state)
    if (type === NBD_OPT_ABORT) {
      yield { send: encodeOptionReply(type, NBD_REP_ACK) }
      return undefined
    }
    try {
      const negotiated = yield* option(type, body, state)
      if (negotiated !== undefined) return negotiated
    } catch (error) {
      // A body that does not parse is the client's fault, but the stream is in step: say so and go on.
      if (!(error instanceof NbdError) || error.code !== 'NBD_PROTOCOL') throw error
      yield { send: encodeOptionReply(type, NBD_REP_ERR_INVALID, Buffer.from(error.message)) }
    }
  }
  throw protocolError('too many options in one handshake')
}

function* option(type: number, body: Uint8Array, state: State): Handshake<ServerNegotiated | undefined, ServerAsk> {
  switch (type) {
    case NBD_OPT_STRUCTURED_REPLY:
      mustBeEmpty(body)
      state.structuredReplies = true
      yield { send: encodeOptionReply(type, NBD_REP_ACK) }
      return undefined
    case NBD_OPT_STARTTLS:
      yield* startTls(body, state)
      return undefined
    case NBD_OPT_LIST:
      mustBeEmpty(body)
      yield* list()
      return undefined
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
      yield* metaContext(type, body, state)
      return undefined
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
      return yield* infoOrGo(type, body, state)
    default:
      yield { send: encodeOptionReply(type, NBD_REP_ERR_UNSUP) }
      return undefined
  }
}

function* startTls(body: Uint8Array, state: State): Handshake<void, ServerAsk> {
  if (state.tls === 'none') {
    yield { send: encodeOptionReply(NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP) }
    return
  }
  mustBeEmpty(body)
  if (state.tls === 'started') throw protocolError('TLS was started before')
  yield { send: encodeOptionReply(NBD_OPT_STARTTLS, NBD_REP_ACK) }
  yield { ask: { kind: 'start-tls' } }
  state.tls = 'started'
}

function* discard(length: number): Handshake<void, ServerAsk> {
  if (length > MAX_DISCARD) throw protocolError('an option is too long', { length })
  for (let left = length; left > 0; left -= Math.min(left, MAX_OPTION_LENGTH)) yield* take(Math.min(left, MAX_OPTION_LENGTH))
}

function* open(name: string): Handshake<ExportFacts | Refusal, ServerAsk> {
  return (yield { ask: { kind: 'open', name } }) as ExportFacts | Refusal
}

function* exportName(body: Uint8Array, state: State): Handshake<ServerNegotiated, ServerAsk> {
  const name = new BodyReader(body).string(body.length)
  const facts = yield* open(name)
  // This option has no error reply: the specification wants the connection closed.
  if ('refused' in facts) throw new NbdError('NBD_REFUSED', facts.message)
  const reply = Buffer.alloc(state.noZeroes ? 10 : 134)
  reply.writeBigUInt64BE(BigInt(facts.size), 0)
  reply.writeUInt16BE(transmissionFlags(facts, state), 8)
  yield { send: reply }
  return negotiated(name, state)
}

function* list(): Handshake<void, ServerAsk> {
  const answer = (yield { ask: { kind: 'list' } }) as ExportList | Refusal
  if ('refused' in answer) {
    yield { send: encodeOptionReply(NBD_OPT_LIST, answer.refused, Buffer.from(answer.message)) }
    return
  }
  for (const name of answer.names) yield { send: encodeOptionReply(NBD_OPT_LIST, NBD_REP_SERVER, encodeString(name)) }
  yield { send: encodeOptionReply(NBD_OPT_LIST, NBD_REP_ACK) }
}

function* metaContext(type: number, body: Uint8Array, state: State): Handshake<void, ServerAsk> {
  if (type === NBD_OPT_SET_META_CONTEXT) state.contextOf = undefined
  const reader = new BodyReader(body)
  const name = reader.string(reader.uint32())
  const queries: string[] = []
  for (let left = reader.uint32(); left > 0; left--) queries.push(reader.string(reader.uint32()))
  if (reader.left > 0) throw protocolError('an option body has bytes too many')
  if (type === NBD_OPT_SET_META_CONTEXT && !state.structuredReplies) throw protocolError('structured replies were not negotiated')
  const facts = yield* open(name)
  if ('refused' in facts) {
    yield { send: encodeOptionReply(type, facts.refused, Buffer.from(facts.message)) }
    return
  }
  const listing = type === NBD_OPT_LIST_META_CONTEXT
  const wanted = queries.includes(BASE_ALLOCATION) || (listing && (queries.length === 0 || queries.includes('base:')))
  if (wanted) {
    const context = Buffer.alloc(4 + BASE_ALLOCATION.length)
    context.writeUInt32BE(listing ? 0 : ALLOCATION_CONTEXT, 0)
    context.write(BASE_ALLOCATION, 4)
    yield { send: encodeOptionReply(type, NBD_REP_META_CONTEXT, context) }
    if (!listing) state.contextOf = name
  }
  yield { send: encodeOptionReply(type, NBD_REP_ACK) }
}

function* infoOrGo(type: number, body: Uint8Array, state: State): Handshake<ServerNegotiated | undefined, ServerAsk> {
  const reader = new BodyReader(body)
  const name = reader.string(reader.uint32())
  const wanted = new Set<number>()
  for (let left = reader.uint16(); left > 0; left--) wanted.add(reader.uint16())
  if (reader.left > 0) throw protocolError('an option body has bytes too many')
  const facts = yield* open(name)
  if ('refused' in facts) {
    yield { send: encodeOptionReply(type, facts.refused, Buffer.from(facts.message)) }
    return undefined
  }
  if (wanted.has(NBD_INFO_NAME)) {
    const text = Buffer.from(name)
    const information = Buffer.alloc(2 + text.length)
    information.writeUInt16BE(NBD_INFO_NAME, 0)
    information.set(text, 2)
    yield { send: encodeOptionReply(type, NBD_REP_INFO, information) }
  }
  // Sent unasked too: a client that does not know it ignores it.
  const blockSize = Buffer.alloc(14)
  blockSize.writeUInt16BE(NBD_INFO_BLOCK_SIZE, 0)
  blockSize.writeUInt32BE(facts.blockSize.minimum, 2)
  blockSize.writeUInt32BE(facts.blockSize.preferred, 6)
  blockSize.writeUInt32BE(NBD_MAX_PAYLOAD, 10)
  yield { send: encodeOptionReply(type, NBD_REP_INFO, blockSize) }
  const information = Buffer.alloc(12)
  information.writeUInt16BE(NBD_INFO_EXPORT, 0)
  information.writeBigUInt64BE(BigInt(facts.size), 2)
  information.writeUInt16BE(transmissionFlags(facts, state), 10)
  yield { send: encodeOptionReply(type, NBD_REP_INFO, information) }
  yield { send: encodeOptionReply(type, NBD_REP_ACK) }
  return type === NBD_OPT_GO ? negotiated(name, state) : undefined
}

function negotiated(name: string, state: State): ServerNegotiated {
  const { structuredReplies, contextOf } = state
  return { name, structuredReplies, allocationContext: contextOf === name ? ALLOCATION_CONTEXT : undefined }
}

function transmissionFlags(facts: ExportFacts, state: State): number {
  return state.structuredReplies ? facts.flags | NBD_FLAG_SEND_DF : facts.flags
}

function mustBeEmpty(body: Uint8Array): void {
  if (body.length > 0) throw protocolError('this option takes no data')
}
