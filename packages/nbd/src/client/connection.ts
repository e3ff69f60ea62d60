import { connect, type Socket } from 'node:net'
import { clientHandshake, type Negotiated } from '../codec/client-handshake.ts'
import { HandshakeRunner } from '../codec/handshake-runner.ts'
import { type OpenRequest, ReplyReader } from '../codec/reply-reader.ts'
import { encodeRequest } from '../codec/request.ts'
import { NBD_CMD_DISC } from '../constants.ts'
import { NbdError, protocolError } from '../errors.ts'
import { writeSingly } from '../write-singly.ts'
import type { NbdAddress } from './nbd-client.ts'
import { type OnRead, receiveDirectly } from './receive-directly.ts'
import { startTls, type Trust, tlsFailure } from './start-tls.ts'

/** One request as the client hands it to a connection; resolves with the outcome in it, or with the error that ended the connection. */
export interface WireRequest extends OpenRequest {
  readonly flags: number
  readonly offset: number
  readonly length: number
  readonly payload?: Uint8Array
  /** Called exactly once. */
  readonly settle: (fatal: NbdError | undefined) => void
}

export interface ConnectionOptions {
  readonly connectMs: number
  readonly stallMs: number
  /** Speak TLS, and trust these certificates only. */
  readonly trust?: Trust
  /** A request ended or the connection did: there may be room for the next one. */
  readonly onRoom: () => void
  /** The connection ended, once; `error` says why. */
  readonly onDead: (error: NbdError) => void
}

/** Bytes of one receive while the next bytes may be a header; what follows a data header goes straight to the read's buffer. */
const SCRATCH_LENGTH = 64 * 1024
/** Checks of progress in one stall time: the delay of noticing is at most a quarter above it. */
const STALL_TICKS = 4

/** One socket of an NBD client: handshake, then requests and replies. Every request settles, whatever happens. */
export class Connection {
  readonly negotiated: Negotiated
  readonly #socket: Socket
  readonly #reader: ReplyReader
  readonly #open = new Map<number, WireRequest>()
  readonly #options: ConnectionOptions
  readonly #stallTimer: NodeJS.Timeout
  #idleTicks = 0
  #nextCookie = 1
  #dead: NbdError | undefined

  private constructor(socket: Socket, negotiated: Negotiated, options: ConnectionOptions) {
    this.negotiated = negotiated
    this.#socket = socket
    this.#options = options
    this.#reader = new ReplyReader({
      structuredReplies: negotiated.structuredReplies,
      allocationContext: negotiated.allocationContext,
      find: cookie => this.#open.get(cookie),
      finished: (cookie, request) => this.#finished(cookie, request as WireRequest),
    })
    this.#stallTimer = setInterval(() => this.#checkProgress(), Math.max(1, options.stallMs / STALL_TICKS)).unref()
  }

  /** Connect and shake hands. Throws NBD_UNREACHABLE, NBD_CLOSED, NBD_EXPORT_UNKNOWN, NBD_REFUSED, NBD_TLS_UNTRUSTED, NBD_PROTOCOL, NBD_ABORTED. */
  static open(address: NbdAddress, options: ConnectionOptions, signal?: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const { trust } = options
      const runner = new HandshakeRunner(clientHandshake(address.exportName, trust !== undefined))
      const scratch = new Uint8Array(SCRATCH_LENGTH)
      let connection: Connection | undefined
      let answered = false
      /** What we speak over: the socket, or TLS on it. */
      let stream: Socket | undefined

      const fail = (error: NbdError) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        stream?.destroy()
        socket.destroy()
        if (connection === undefined) reject(error)
        else connection.#die(error)
      }
      const onAbort = () => fail(new NbdError('NBD_ABORTED', 'aborted while connecting', {}, { cause: signal?.reason }))
      const secure = () => {
        // What came unprotected may be anybody's: it must not be taken for something the server said over TLS.
        if (stream !== undefined || runner.buffered > 0) throw protocolError('the server sent plain bytes after it agreed to TLS')
        const tls = startTls(socket, trust!)
        writeSingly(tls)
        stream = tls
        tls.on('secureConnect', () =>
          guarded(() => {
            runner.answer(undefined)
            negotiate()
          }),
        )
        if (!receiveDirectly(tls, onread))
          tls.on('data', chunk => guarded(() => (connection === undefined ? receiveHandshake(chunk) : connection.received(chunk))))
        tls.on('error', error => fail(tlsFailure(tls, error, where(address))))
        tls.on('end', () => fail(closedBy(address, answered)))
      }
      const receiveHandshake = (bytes: Uint8Array) => {
        answered = true
        runner.push(bytes)
        negotiate()
      }
      const negotiate = () => {
        for (;;) {
          const event = runner.poll()
          if (event.type === 'need-more') return
          if (event.type === 'send') (stream ?? socket).write(event.bytes)
          if (event.type === 'ask') return secure()
          if (event.type === 'done') {
            clearTimeout(timer)
            signal?.removeEventListener('abort', onAbort)
            connection = new Connection(stream ?? socket, event.result, options)
            resolve(connection)
            connection.#reader.push(event.rest)
            return
          }
        }
      }

      const guarded = (action: () => void): boolean => {
        try {
          action()
          return true
        } catch (error) {
          fail(asNbdError(error))
          return false
        }
      }

      // A function as `buffer` is asked before every receive: read data lands in its final place without a copy.
      let receiving: Uint8Array = scratch
      const onread: OnRead = {
        buffer: (): Uint8Array => {
          receiving = connection?.directTarget() ?? scratch
          return receiving
        },
        callback: (length: number): boolean =>
          guarded(() => {
            if (connection === undefined) receiveHandshake(scratch.subarray(0, length))
            else if (receiving === scratch) connection.received(scratch.subarray(0, length))
            else connection.directReceived(length)
          }),
      }
      const socket =
        address.path === undefined
          ? connect({ host: address.host ?? 'localhost', port: address.port ?? 10809, onread, noDelay: true, keepAlive: true })
          : connect({ path: address.path, onread })
      socket.on('error', error => {
        const reached = connection !== undefined || answered
        fail(new NbdError(reached ? 'NBD_CLOSED' : 'NBD_UNREACHABLE', error.message, where(address), { cause: error }))
      })
      socket.on('end', () => fail(closedBy(address, answered)))
      socket.on('close', () => fail(closedBy(address, answered)))
      const timer = setTimeout(
        () => fail(new NbdError('NBD_UNREACHABLE', `no finished handshake within ${options.connectMs} ms`, where(address))),
        options.connectMs,
      )
      if (signal?.aborted === true) onAbort()
      else signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  get openRequests(): number {
    return this.#open.size
  }

  get bytesRead(): number {
    return this.#reader.bytesRead
  }

  get dead(): NbdError | undefined {
    return this.#dead
  }

  directTarget(): Uint8Array | undefined {
    return this.#reader.directTarget()
  }

  send(request: WireRequest): void {
    if (this.#dead !== undefined) {
      request.settle(this.#dead)
      return
    }
    let cookie = this.#nextCookie
    while (this.#open.has(cookie)) cookie = (cookie + 1) >>> 0
    this.#nextCookie = (cookie + 1) >>> 0
    if (this.#open.size === 0) this.#idleTicks = 0
    this.#open.set(cookie, request)
    const { flags, command, offset, length, payload } = request
    const header = encodeRequest({ flags, command, cookie: { high: 0, low: cookie }, offset, length })
    if (payload === undefined) {
      this.#socket.write(header)
      return
    }
    this.#socket.cork()
    this.#socket.write(header)
    // A server that takes our bytes is alive, though it sends nothing meanwhile.
    this.#socket.write(payload, () => {
      this.#idleTicks = 0
    })
    this.#socket.uncork()
  }

  /** Say good-bye if nothing is open, and end. Open requests settle with `error`. */
  async close(error: NbdError): Promise<void> {
    const alive = this.#dead === undefined
    const quiet = this.#open.size === 0
    this.#die(error)
    const socket = this.#socket
    if (socket.closed) return
    const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
    if (alive && quiet) {
      socket.end(encodeRequest({ flags: 0, command: NBD_CMD_DISC, cookie: { high: 0, low: 0 }, offset: 0, length: 0 }))
      const timer = setTimeout(() => socket.destroy(), 1000)
      await closed
      clearTimeout(timer)
    } else {
      socket.destroy()
      await closed
    }
  }

  /** Bytes came from the server, wherever they belong. */
  received(bytes: Uint8Array): void {
    if (this.#dead !== undefined) return
    this.#idleTicks = 0
    this.#reader.push(bytes)
  }

  /** `length` bytes came into `directTarget()`. */
  directReceived(length: number): void {
    if (this.#dead !== undefined) return
    this.#idleTicks = 0
    this.#reader.directReceived(length)
  }

  #finished(cookie: number, request: WireRequest): void {
    this.#open.delete(cookie)
    request.settle(undefined)
    this.#options.onRoom()
  }

  #checkProgress(): void {
    if (this.#open.size === 0) return
    this.#idleTicks++
    if (this.#idleTicks <= STALL_TICKS) return
    this.#die(
      new NbdError('NBD_STALLED', `nothing from the server for ${this.#options.stallMs} ms`, {
        openRequests: this.#open.size,
      }),
    )
    this.#socket.destroy()
  }

  #die(error: NbdError): void {
    if (this.#dead !== undefined) return
    this.#dead = error
    clearInterval(this.#stallTimer)
    const open = [...this.#open.values()]
    this.#open.clear()
    for (const request of open) request.settle(error)
    this.#options.onDead(error)
  }
}

function closedBy(address: NbdAddress, answered: boolean): NbdError {
  return new NbdError(answered ? 'NBD_CLOSED' : 'NBD_UNREACHABLE', 'the server closed the connection', where(address))
}

/** The export name may hold a secret: it stays out of errors. */
function where(address: NbdAddress): Record<string, unknown> {
  return address.path === undefined ? { host: address.host, port: address.port } : { path: address.path }
}

function asNbdError(error: unknown): NbdError {
  return error instanceof NbdError ? error : new NbdError('NBD_PROTOCOL', String(error), {}, { cause: error })
}
