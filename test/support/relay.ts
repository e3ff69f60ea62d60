import { once } from 'node:events'
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { freePort, MiB } from '@varve/runtime'

/** More than a gigabyte a second for the longest delay that a test asks for. */
const LATER_BYTES = 64 * MiB

/** A TCP port of loopback in front of a server that tests may take away and bring back; at first it is away. */
export interface Relay {
  readonly port: number
  open(): Promise<void>
  /** Nobody listens any more, and every connection is cut. */
  cut(): Promise<void>
}

/**
 * `target`: asked at each connection when it is a function, so that a server may move. `delayMs`: how much later all bytes arrive, in each direction; as many as come are
 * on their way at the same time.
 */
export async function makeRelay(
  target: NetConnectOpts | (() => NetConnectOpts),
  { delayMs = 0 }: { readonly delayMs?: number } = {},
): Promise<Relay> {
  const port = await freePort()
  const sockets = new Set<Socket>()
  let server: Server | undefined
  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', failed => {
      sockets.delete(socket)
      // An end arrives like other bytes, later.
      if (failed || delayMs === 0) other.destroy()
    })
    if (delayMs === 0) socket.pipe(other)
    else socket.pipe(later(delayMs)).pipe(other)
  }
  return {
    port,
    async open() {
      server = createServer(incoming => {
        const outgoing = connect(typeof target === 'function' ? target() : target)
        keep(incoming, outgoing)
        keep(outgoing, incoming)
      })
      await once(server.listen(port, '127.0.0.1'), 'listening')
    },
    async cut() {
      const closing = server
      server = undefined
      for (const socket of sockets) socket.destroy()
      if (closing !== undefined) await new Promise(resolve => closing.close(resolve))
    },
  }
}

/** What goes in comes out so much later, in order, as long as less than `LATER_BYTES` are inside. */
function later(ms: number): Duplex {
  const waiting: { readonly bytes: Buffer; readonly at: number }[] = []
  let held = 0
  let full: (() => void) | undefined
  let ended = false
  let timer: NodeJS.Timeout | undefined
  const stream = new Duplex({
    write(bytes: Buffer, _, done) {
      waiting.push({ bytes, at: performance.now() + ms })
      held += bytes.length
      if (held < LATER_BYTES) done()
      else full = done
      arm()
    },
    final(done) {
      ended = true
      arm()
      done()
    },
    read() {},
    destroy(error, done) {
      clearTimeout(timer)
      done(error)
    },
  })
  const arm = (): void => {
    timer ??= setTimeout(deliver, Math.max(0, (waiting[0]?.at ?? 0) - performance.now()))
  }
  const deliver = (): void => {
    timer = undefined
    for (const now = performance.now() + 1; waiting.length > 0 && waiting[0]!.at <= now; ) {
      const { bytes } = waiting.shift()!
      held -= bytes.length
      stream.push(bytes)
    }
    if (held < LATER_BYTES) {
      const go = full
      full = undefined
      go?.()
    }
    if (waiting.length > 0) arm()
    else if (ended) stream.push(null)
  }
  return stream
}
