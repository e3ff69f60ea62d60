import { connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { NbdError } from '../errors.ts'
import { startNbdServer } from '../server/start-nbd-server.ts'
import { makeCertificates } from '../testing/certificates.ts'
import { MemoryBackend } from '../testing/memory-backend.ts'
import { hasTool, temporaryDirectory } from '../testing/peer-process.ts'
import { connectNbd } from './connect-nbd.ts'

/** A relay to `port` that closes both sides after so many bytes of one direction. */
async function startCutter(port: number) {
  const cut = { toClient: Number.POSITIVE_INFINITY, toServer: Number.POSITIVE_INFINITY }
  const seen = { toClient: 0, toServer: 0 }
  const relay = createServer(client => {
    const server = connect(port, '127.0.0.1')
    for (const side of [client, server]) {
      side.on('error', () => {})
      side.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
    const forward = (direction: 'toClient' | 'toServer', chunk: Buffer) => {
      const left = cut[direction] - seen[direction]
      seen[direction] += chunk.length
      const target = direction === 'toClient' ? client : server
      target.write(chunk.length <= left ? chunk : chunk.subarray(0, left))
      if (chunk.length > left) target.destroySoon()
    }
    client.on('data', chunk => forward('toServer', chunk))
    server.on('data', chunk => forward('toClient', chunk))
  })
  await new Promise<void>(resolve => relay.listen(0, '127.0.0.1', () => resolve()))
  const address = relay.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cut,
    seen,
    reset(at: Partial<typeof cut>) {
      Object.assign(cut, { toClient: Number.POSITIVE_INFINITY, toServer: Number.POSITIVE_INFINITY }, at)
      Object.assign(seen, { toClient: 0, toServer: 0 })
    },
    close: () => new Promise<void>(resolve => relay.close(() => resolve())),
  }
}

async function certificates() {
  const directory = await temporaryDirectory()
  return makeCertificates(directory.path).finally(() => directory.remove())
}

const MODES = [
  // Every byte of the headers would take long on a busy machine: a stride that shares no factor with their lengths.
  { mode: 'plain text', stride: 17, tail: 0 },
  // The lengths of signatures differ by some bytes, and nothing is lost with TLS's own good-bye.
  { mode: 'TLS', stride: 61, tail: 64 },
] as const
test.for(MODES)(
  'a $mode connection cut after any byte, either way: typed errors, nothing hangs, the export is closed',
  async ({ mode, stride, tail }, ctx) => {
    if (mode === 'TLS' && !hasTool('openssl')) ctx.skip('openssl is not installed')
    const tls = mode === 'TLS' ? await certificates() : undefined

    const content = Uint8Array.from({ length: 4096 }, (_, index) => index % 251)
    const backend = new MemoryBackend(content, { granule: 512 })
    await backend.trim(1024, 1024, false)
    const server = await startNbdServer({ listen: { port: 0 }, ...(tls && { tls }), exports: { open: async () => backend } })
    const relay = await startCutter('port' in server.address ? server.address.port : 0)

    /** Codes of what failed, empty when all went well. */
    const session = async (): Promise<string[]> => {
      try {
        const client = await connectNbd(
          { host: '127.0.0.1', port: relay.port, exportName: 'disk', ...(tls && { tls }) },
          { connectMs: 5000, stallMs: 5000 },
        )
        const outcomes = await Promise.allSettled([
          client.read(512, 2048),
          client.blockStatus(0, 4096),
          client.write(3000, Buffer.alloc(300, 1)),
          client.readInto(0, new Uint8Array(100)),
          client.flush(),
        ])
        await client.close()
        return outcomes
          .filter(outcome => outcome.status === 'rejected')
          .map(({ reason }) => (reason instanceof NbdError ? reason.code : String(reason)))
      } catch (error) {
        return [error instanceof NbdError ? error.code : String(error)]
      }
    }

    relay.reset({})
    expect(await session()).toEqual([])
    const whole = { ...relay.seen }
    for (const direction of ['toClient', 'toServer'] as const) {
      for (let at = 0; at < whole[direction]; at += stride) {
        relay.reset({ [direction]: at })
        const codes = await session()
        if (direction === 'toClient' && at < whole.toClient - tail) expect(codes.length, `${direction} ${at}`).toBeGreaterThan(0)
        for (const code of codes) expect(['NBD_CLOSED', 'NBD_UNREACHABLE'], `${direction} ${at}`).toContain(code)
      }
    }
    await expect.poll(() => server.connections).toBe(0)
    await server.close()
    await relay.close()
  },
)
