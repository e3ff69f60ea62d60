import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Where ports are looked for: below those that systems give to outgoing connections (Linux: from 32768 on), one of which could otherwise take the port
 * before the program that it is for has started.
 */
export const FREE_PORTS = { first: 10_240, last: 32_767 } as const
const TRIES = 100

/** A TCP port of loopback that nobody listens at right now: for programs that can't take port 0 and say what they got. */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const port = randomInt(FREE_PORTS.first, FREE_PORTS.last + 1)
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch (error) {
      if (tries < TRIES && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue
      throw error
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
