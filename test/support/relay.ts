import { once } from 'node:events'
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net'
import { freePort } from '@varve/runtime'

/** A TCP port of loopback in front of a server that tests may take away and bring back; at first it is away. */
export interface Relay {
  readonly port: number
  open(): Promise<void>
  /** Nobody listens any more, and every connection is cut. */
  cut(): Promise<void>
}

/** `target`: asked at each connection when it is a function, so that a server may move. */
export async function makeRelay(target: NetConnectOpts | (() => NetConnectOpts)): Promise<Relay> {
  const port = await freePort()
  const sockets = new Set<Socket>()
  let server: Server | undefined
  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      other.destroy()
    })
    socket.pipe(other)
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
