import { connect, createServer, type Server, type Socket } from 'node:net'
import { type FaultSpec, type Faults, numberParam, textParam } from './faults.ts'

/** The client's bytes in which its export name is looked for. */
const HANDSHAKE_BYTES = 4096

/**
 * A TCP proxy in front of the backup NBD server, there only when faults are enabled: it can drop, stall or garble a connection after some
 * bytes to the client. `match.disk_id` is compared with the last part of the export name in the handshake.
 */
export async function startNbdProxy(options: {
  readonly listen: { readonly host: string; readonly port: number }
  readonly target: { readonly host: string; readonly port: number }
  readonly faults: Faults
}): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const upstream = connect(options.target)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        ;(socket === client ? upstream : client).destroy()
      })
    }
    proxy(client, upstream, options.faults)
  })
  await listening(server, options.listen)
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.listen.port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function proxy(client: Socket, upstream: Socket, faults: Faults): void {
  let handshake = Buffer.alloc(0)
  let fault: ReturnType<Faults['take']>
  let looked = false
  let sent = 0
  client.on('data', bytes => {
    if (!looked && handshake.length < HANDSHAKE_BYTES) {
      handshake = Buffer.concat([handshake, bytes.subarray(0, HANDSHAKE_BYTES)])
      // `<43 characters of secret>/…/<disk>`: the part after the last slash, up to the first byte that can't be in a disk id.
      const name = /[\w-]{43}\/(?:[\w-]+\/)?([a-z]+\d+)/.exec(handshake.toString('latin1'))
      if (name !== null) {
        looked = true
        fault = faults.take('nbd', { disk_id: name[1]! })
        sent = 0
      }
    }
    pass(bytes, client, upstream, paceOf(fault))
  })
  upstream.on('data', bytes => {
    const pace = paceOf(fault)
    if (pace !== undefined) return pass(bytes, upstream, client, pace)
    const limit = fault === undefined ? Number.POSITIVE_INFINITY : numberParam(fault, 'after_bytes', 0)
    if (sent + bytes.length <= limit) {
      sent += bytes.length
      return pass(bytes, upstream, client, undefined)
    }
    const good = bytes.subarray(0, limit - sent)
    sent = limit
    if (good.length > 0) client.write(good)
    const mode = fault === undefined ? '' : textParam(fault, 'mode', 'drop')
    // Stalled: the rest of the answer never comes, the connection stays.
    if (mode === 'drop') client.destroySoon()
    else if (mode === 'garbage') client.write(Buffer.alloc(bytes.length - good.length, 0xa5))
  })
}

/** Bytes a second of a connection that is slowed down; undefined: as fast as it goes. */
function paceOf(fault: FaultSpec | undefined): number | undefined {
  if (fault === undefined || textParam(fault, 'mode', 'drop') !== 'slow') return undefined
  return Math.max(1, numberParam(fault, 'bytes_per_second', 1024 * 1024))
}

function pass(bytes: Buffer, from: Socket, to: Socket, pace: number | undefined): void {
  const roomLeft = to.write(bytes)
  if (roomLeft && pace === undefined) return
  from.pause()
  const resume = (): void => void from.resume()
  if (pace !== undefined) setTimeout(resume, (bytes.length / pace) * 1000)
  else to.once('drain', resume)
}

function listening(server: Server, listen: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen, () => resolve())
  })
}
