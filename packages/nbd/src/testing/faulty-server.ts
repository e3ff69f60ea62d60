import { createServer, type Socket } from 'node:net'
import { HandshakeRunner } from '../codec/handshake-runner.ts'
import { encodeDataChunk, encodeErrorChunk, encodeHoleChunk } from '../codec/reply.ts'
import type { Request } from '../codec/request.ts'
import { RequestReader } from '../codec/request-reader.ts'
import { type ExportFacts, type ServerAsk, serverHandshake } from '../codec/server-handshake.ts'
import { writeUint32 } from '../codec/uint64.ts'
import { NBD_CMD_DISC, NBD_CMD_READ, NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_HAS_FLAGS, NBD_FLAG_READ_ONLY } from '../constants.ts'

/** How a scripted server misbehaves. Faults of reads come after `goodReads` right answers. */
export const NBD_FAULTS = [
  /** Sends bytes that are no NBD. */
  'garbage-handshake',
  /** Accepts and never says anything. */
  'silent-handshake',
  /** Greets and hangs up. */
  'drop-handshake',
  /** Says twice the size it has; reads beyond the end fail with EINVAL. */
  'size-lie',
  /** Never answers. */
  'read-ignored',
  /** Sends half of the data, then nothing. */
  'read-stall',
  /** Sends half of the data, then closes. */
  'read-drop',
  /** Answers a request that was never sent. */
  'read-wrong-cookie',
  /** Announces more data than was asked for. */
  'read-oversize',
  /** Announces 4 GiB of error text. */
  'read-huge-error',
  /** Data for another place on the disk. */
  'read-outside',
  /** The same bytes twice. */
  'read-overlap',
  /** Ends the reply with half of the data. */
  'read-short',
  /** Bytes that are no reply. */
  'read-garbage',
  /** A proper EIO; the connection lives. */
  'read-error',
] as const
export type NbdFault = (typeof NBD_FAULTS)[number]

export interface FaultyServerOptions {
  readonly fault: NbdFault
  /** Reads answered rightly, over all connections, before the fault (default 0). */
  readonly goodReads?: number
  /** Reads that meet the fault; later ones are answered rightly (default: all). */
  readonly badReads?: number
  /** Content of its one export, which has every name. */
  readonly content: Uint8Array
}

export interface FaultyServer {
  readonly host: string
  readonly port: number
  /** Reads that met the fault. */
  readonly faults: number
  close(): Promise<void>
}

interface FaultState {
  reads: number
  faults: number
  /** What follows half a reply would be taken for the rest of it. */
  readonly stalled: WeakSet<Socket>
}

/** A read-only NBD server on a free port of 127.0.0.1 that breaks the protocol as told, to test its clients. */
export async function startFaultyServer(options: FaultyServerOptions): Promise<FaultyServer> {
  const state: FaultState = { reads: 0, faults: 0, stalled: new WeakSet() }
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    serve(socket, options, state)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  const address = server.address()
  return {
    host: '127.0.0.1',
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get faults() {
      return state.faults
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function serve(socket: Socket, options: FaultyServerOptions, state: FaultState): void {
  const { fault, content } = options
  if (fault === 'silent-handshake') return
  if (fault === 'garbage-handshake') {
    socket.write(Buffer.alloc(4096, 'SSH-2.0-garbage\r\n'))
    return
  }
  if (fault === 'drop-handshake') {
    socket.end(Buffer.from('NBDMAGICIHAVEOPT'))
    return
  }
  const handshake = new HandshakeRunner(serverHandshake())
  const facts: ExportFacts = {
    size: fault === 'size-lie' ? content.length * 2 : content.length,
    flags: NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY | NBD_FLAG_CAN_MULTI_CONN,
    blockSize: { minimum: 1, preferred: 4096 },
  }
  let requests: RequestReader | undefined
  const negotiate = () => {
    for (;;) {
      const event = handshake.poll()
      if (event.type === 'need-more') return
      if (event.type === 'send') socket.write(event.bytes)
      if (event.type === 'ask') handshake.answer(answerTo(event.ask, facts))
      if (event.type === 'done') {
        requests = new RequestReader({
          ready: () => true,
          payloadTarget: () => undefined,
          request: request => answerRequest(socket, request, options, state),
        })
        requests.push(event.rest)
        return
      }
    }
  }
  socket.on('data', chunk => {
    if (requests !== undefined) {
      requests.push(chunk)
      return
    }
    handshake.push(chunk)
    negotiate()
  })
  negotiate()
}

function answerTo(ask: ServerAsk, facts: ExportFacts): unknown {
  return ask.kind === 'open' ? facts : { names: [] }
}

function answerRequest(socket: Socket, request: Request, options: FaultyServerOptions, state: FaultState): void {
  const { content, goodReads = 0, badReads = Number.POSITIVE_INFINITY } = options
  const { cookie, offset, length, command } = request
  if (command === NBD_CMD_DISC) socket.end()
  if (command !== NBD_CMD_READ || socket.writableEnded || state.stalled.has(socket)) return
  if (offset + length > content.length) {
    socket.write(encodeErrorChunk(cookie, 'EINVAL', 'past the end'))
    return
  }
  const data = content.subarray(offset, offset + length)
  state.reads++
  if (options.fault !== 'size-lie' && state.reads > goodReads && state.faults < badReads) {
    state.faults++
    if (options.fault === 'read-stall') state.stalled.add(socket)
    for (const part of wrongReply(request, data, options.fault)) socket.write(part)
    if (options.fault === 'read-drop') socket.destroySoon()
    return
  }
  socket.write(encodeDataChunk(cookie, offset, length, true))
  socket.write(data)
}

/** The bytes of a wrong reply; empty where there is none. */
function wrongReply({ cookie, offset, length }: Request, data: Uint8Array, fault: NbdFault): readonly Uint8Array[] {
  const half = data.subarray(0, Math.floor(length / 2))
  switch (fault) {
    case 'read-stall':
    case 'read-drop':
      return [encodeDataChunk(cookie, offset, length, true), half]
    case 'read-wrong-cookie':
      return [encodeDataChunk({ high: 7, low: 7 }, offset, length, true), data]
    case 'read-oversize':
      return [encodeDataChunk(cookie, offset, length + 4096, true), data, new Uint8Array(4096)]
    case 'read-huge-error': {
      const chunk = encodeErrorChunk(cookie, 'EIO', 'disk on fire')
      writeUint32(chunk, 16, 0xffffffff)
      return [chunk]
    }
    case 'read-outside':
      return [encodeDataChunk(cookie, offset + length, length, true), data]
    case 'read-overlap':
      return [encodeDataChunk(cookie, offset, length, false), data, encodeHoleChunk(cookie, offset, length, true)]
    case 'read-short':
      return [encodeDataChunk(cookie, offset, half.length, true), half]
    case 'read-garbage':
      return [Buffer.alloc(1024, 'garbage ')]
    case 'read-error':
      return [encodeErrorChunk(cookie, 'EIO', 'disk on fire')]
    default:
      return []
  }
}
