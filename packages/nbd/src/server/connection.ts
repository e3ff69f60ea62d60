import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { HandshakeRunner } from '../codec/handshake-runner.ts'
import type { Request } from '../codec/request.ts'
import { RequestReader } from '../codec/request-reader.ts'
import { type ExportAsk, type ServerAsk, type ServerNegotiated, serverHandshake } from '../codec/server-handshake.ts'
import { NBD_CMD_DISC, NBD_CMD_READ, NBD_MAX_PAYLOAD } from '../constants.ts'
import { NbdError, protocolError } from '../errors.ts'
import { writeSingly } from '../write-singly.ts'
import type { BufferPool } from './buffer-pool.ts'
import { type ExecuteContext, execute } from './execute.ts'
import type { NbdPeer } from './export-resolver.ts'
import { HeldExport, type HeldExportDeps } from './held-export.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { Reply } from './read-reply.ts'

export interface ServerConnectionDeps extends HeldExportDeps {
  readonly pool: BufferPool
  /** Payload of all connections together. */
  readonly memory: MemoryBudget
  readonly handshakeMs: number
  /** Requests taken and not yet answered into the socket. */
  readonly inFlight: number
  /** The same in bytes of payload; one request is always taken. */
  readonly inFlightBytes: number
  /** A client that sends no more of a request, or takes no more of its replies, for this long is dropped. */
  readonly stallMs: number
}

/** Handshake replies that a client may leave unread. */
const MAX_UNREAD_HANDSHAKE = 1024 * 1024

/** One connection to the server: handshake, then requests until it ends. Holds its export until its last request is done. */
export class ServerConnection {
  readonly peer: NbdPeer
  /** Resolves when the socket is closed, all its requests are done and its export is released. Never rejects. */
  readonly ended: Promise<void>
  /** What we speak over: the socket, or TLS on it. */
  #socket: Socket
  readonly #deps: ServerConnectionDeps
  readonly #handshake: HandshakeRunner<ServerNegotiated | undefined, ServerAsk>
  readonly #tls: SecureContext | undefined
  readonly #export: HeldExport
  readonly #handshakeTimer: NodeJS.Timeout
  #asking: Promise<void> | undefined
  #requests: RequestReader | undefined
  #context: ExecuteContext | undefined
  /** Received and not taken yet, because enough requests are in flight. */
  #rest: Uint8Array | undefined
  #inFlight = 0
  #bytesInFlight = 0
  /** Payload of the write that is being received. */
  #receiving = 0
  #ending = false
  #clientDone = false
  #onIdle: (() => void) | undefined

  /** With `tls` the client must start TLS. */
  constructor(socket: Socket, deps: ServerConnectionDeps, tls?: SecureContext) {
    this.#socket = socket
    this.#tls = tls
    this.#handshake = new HandshakeRunner(serverHandshake(tls !== undefined))
    this.#deps = deps
    this.peer = { address: peerAddress(socket) }
    this.#export = new HeldExport(deps, this.peer)
    this.#handshakeTimer = setTimeout(() => this.#drop(new NbdError('NBD_STALLED', 'no finished handshake in time')), deps.handshakeMs)
    this.ended = this.#end()
    this.#listen(socket)
    socket.setTimeout(deps.stallMs, () => this.#onTimeout())
    this.#guard(() => this.#negotiate())
  }

  /** The export of this connection, once it opens one. */
  get exportName(): string | undefined {
    return this.#export.name
  }

  #listen(socket: Socket): void {
    socket.on('data', chunk => this.#receive(chunk))
    // A client that has asked all it wants may close its side and still read the replies.
    socket.on('end', () => {
      this.#clientDone = true
      if (this.#rest === undefined) this.drain()
    })
  }

  /** Take no more requests, answer those in flight, then close. */
  drain(): void {
    this.#ending = true
    this.#socket.pause()
    if (this.#context === undefined) this.#socket.destroy()
    else if (this.#inFlight === 0) this.#finish()
  }

  destroy(): void {
    this.#ending = true
    this.#socket.destroy()
  }

  /** Runs what may find the peer at fault. */
  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#drop(error)
    }
  }

  #drop(error: unknown): void {
    const err = error instanceof Error ? error : new Error(String(error))
    this.#deps.log?.warn({ peer: this.peer.address, err }, 'nbd connection dropped')
    this.destroy()
  }

  #receive(chunk: Uint8Array): void {
    if (this.#ending) return
    this.#guard(() => {
      if (this.#requests === undefined) {
        this.#handshake.push(chunk)
        this.#negotiate()
      } else {
        this.#take(chunk)
      }
    })
  }

  // Handshake

  #negotiate(): void {
    while (this.#asking === undefined && !this.#ending) {
      const event = this.#handshake.poll()
      if (event.type === 'need-more') return
      if (event.type === 'send') {
        this.#socket.write(event.bytes)
        if (this.#socket.writableLength > MAX_UNREAD_HANDSHAKE)
          throw new NbdError('NBD_PROTOCOL', 'the client does not read handshake replies')
      } else if (event.type === 'ask') {
        if (event.ask.kind === 'start-tls') {
          this.#startTls()
          return
        }
        this.#socket.pause()
        this.#asking = this.#answer(event.ask).finally(() => {
          this.#asking = undefined
          this.#socket.resume()
          this.#guard(() => this.#negotiate())
        })
      } else {
        clearTimeout(this.#handshakeTimer)
        if (event.result === undefined) this.#finish()
        else this.#transmit(event.result, event.rest)
        return
      }
    }
  }

  #startTls(): void {
    // What came unprotected may be anybody's: it must not be taken for something the client said over TLS.
    if (this.#handshake.buffered > 0) throw protocolError('the client sent plain bytes after it asked for TLS')
    const plain = this.#socket
    plain.removeAllListeners('data').removeAllListeners('end')
    const secure = new TLSSocket(plain, { isServer: true, secureContext: this.#tls! })
    writeSingly(secure)
    secure.on('error', err => this.#deps.log?.warn({ peer: this.peer.address, err }, 'nbd connection: TLS failed'))
    this.#socket = secure
    this.#listen(secure)
    this.#handshake.answer(undefined)
    this.#negotiate()
  }

  async #answer(ask: ExportAsk): Promise<void> {
    const answer = await this.#export.answer(ask)
    this.#guard(() => this.#handshake.answer(answer))
  }

  // Transmission

  #transmit(negotiated: ServerNegotiated, rest: Uint8Array): void {
    const { structuredReplies, allocationContext } = negotiated
    const backend = this.#export.backend!
    this.#context = { backend, structuredReplies, allocationContext, pool: this.#deps.pool }
    this.#requests = new RequestReader({
      ready: () => this.#ready(),
      payloadTarget: request => this.#payloadTarget(request),
      request: (request, payload) => this.#start(request, payload),
    })
    this.#deps.log?.info({ peer: this.peer.address, structuredReplies, size: backend.size }, 'nbd connection opened an export')
    this.#take(rest)
  }

  #take(bytes: Uint8Array): void {
    const taken = this.#requests!.push(bytes)
    if (taken === bytes.length) return
    this.#rest = bytes.subarray(taken)
    this.#socket.pause()
  }

  #start(request: Request, payload: Uint8Array | undefined): void {
    if (request.command === NBD_CMD_DISC) {
      this.drain()
      return
    }
    const bytes = payload?.length ?? (request.command === NBD_CMD_READ ? Math.min(request.length, NBD_MAX_PAYLOAD) : 0)
    this.#inFlight++
    if (payload === undefined) this.#reserve(bytes)
    else this.#receiving = 0
    const done = () => {
      this.#inFlight--
      this.#free(bytes)
      this.#room()
    }
    void execute(request, payload, this.#context!).then(reply => {
      if (payload !== undefined) this.#deps.pool.give(payload)
      this.#reply(request, reply, done)
    })
  }

  #reply(request: Request, reply: Reply, done: () => void): void {
    if (reply.failure !== undefined) this.#logFailure(request, reply.failure.errno, reply.failure.error)
    const socket = this.#socket
    // The slot and the buffer come back when the bytes are out: a client that does not read gets no more memory.
    const sent = () => {
      if (reply.buffer !== undefined) this.#deps.pool.give(reply.buffer)
      done()
    }
    if (socket.destroyed) {
      sent()
      return
    }
    socket.cork()
    for (const [index, part] of reply.parts.entries()) {
      if (index === reply.parts.length - 1) socket.write(part, sent)
      else socket.write(part)
    }
    socket.uncork()
  }

  #logFailure(request: Request, errno: string, error: unknown): void {
    const { command, offset, length } = request
    const fields = { peer: this.peer.address, command, offset, length, errno }
    if (error instanceof NbdError && errno !== 'EIO') this.#deps.log?.debug(fields, 'nbd request refused')
    else this.#deps.log?.warn({ ...fields, err: error }, 'nbd request failed')
  }

  #ready(): boolean {
    if (this.#ending || this.#inFlight >= this.#deps.inFlight || this.#bytesInFlight >= this.#deps.inFlightBytes) return false
    if (this.#deps.memory.available) return true
    this.#deps.memory.whenAvailable(this.#wake)
    return false
  }

  #payloadTarget(request: Request): Uint8Array | undefined {
    if (request.length > NBD_MAX_PAYLOAD || this.#context!.backend.readOnly) return undefined
    this.#receiving = request.length
    this.#reserve(request.length)
    return this.#deps.pool.take(request.length)
  }

  #reserve(bytes: number): void {
    this.#bytesInFlight += bytes
    this.#deps.memory.take(bytes)
  }

  #free(bytes: number): void {
    this.#bytesInFlight -= bytes
    this.#deps.memory.give(bytes)
  }

  readonly #wake = () => this.#room()

  #onTimeout(): void {
    const owesBytes = this.#requests?.partial === true && this.#rest === undefined
    if (owesBytes || this.#socket.writableLength > 0)
      this.#drop(new NbdError('NBD_STALLED', 'the client stands still in the middle of a request'))
  }

  /** A request is done: take what waited, or end. */
  #room(): void {
    if (this.#inFlight === 0) this.#onIdle?.()
    if (this.#ending) {
      if (this.#inFlight === 0) this.#finish()
      return
    }
    const rest = this.#rest
    if (rest === undefined) return
    this.#rest = undefined
    this.#guard(() => this.#take(rest))
    if (this.#rest !== undefined || this.#ending) return
    if (this.#clientDone) this.drain()
    else this.#socket.resume()
  }

  // End

  #finish(): void {
    this.#ending = true
    // Sends what is buffered; a client that does not hang up is cut off.
    this.#socket.end(() => this.#socket.destroySoon())
    this.#socket.resume()
  }

  async #end(): Promise<void> {
    const socket = this.#socket
    await new Promise<void>(resolve => {
      socket.on('error', err => this.#deps.log?.debug({ peer: this.peer.address, err }, 'nbd socket failed'))
      socket.once('close', () => resolve())
    })
    this.#ending = true
    clearTimeout(this.#handshakeTimer)
    await this.#asking
    if (this.#inFlight > 0) {
      await new Promise<void>(resolve => {
        this.#onIdle = resolve
      })
    }
    this.#deps.memory.forget(this.#wake)
    this.#free(this.#receiving)
    try {
      await this.#export.release()
    } catch (err) {
      this.#deps.log?.error({ peer: this.peer.address, err }, 'closing an export failed')
    }
    this.#deps.log?.debug({ peer: this.peer.address }, 'nbd connection ended')
  }
}

function peerAddress(socket: Socket): string {
  return socket.remoteAddress === undefined ? 'unix' : `${socket.remoteAddress}:${socket.remotePort}`
}
