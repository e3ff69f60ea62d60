import { connect, createServer, type Socket } from 'node:net'

export interface Trickle {
  readonly host: string
  readonly port: number
  /** Bytes that came drop by drop. */
  readonly drops: number
  close(): Promise<void>
}

/** A way to a server that lets its first bytes through as they come, and all others one by one. */
export async function startTrickle(
  server: { readonly host: string; readonly port: number },
  { atOnce, everyMs }: { readonly atOnce: number; readonly everyMs: number },
): Promise<Trickle> {
  let drops = 0
  const sockets = new Set<Socket>()
  const listener = createServer(client => {
    const upstream = connect(server.port, server.host)
    let room = atOnce
    let dripping: NodeJS.Timeout | undefined
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        clearInterval(dripping)
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream)
    upstream.on('data', chunk => {
      client.write(chunk.subarray(0, room))
      const late = chunk.subarray(room)
      room = Math.max(0, room - chunk.length)
      if (late.length === 0) return
      upstream.pause()
      let at = 0
      dripping = setInterval(() => {
        if (at === late.length) {
          clearInterval(dripping)
          upstream.resume()
          return
        }
        drops++
        client.write(late.subarray(at, ++at))
      }, everyMs)
    })
  })
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', () => resolve()))
  const address = listener.address()
  return {
    host: '127.0.0.1',
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get drops() {
      return drops
    },
    close: () =>
      new Promise(resolve => {
        listener.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
