import { mkdir } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { encodeOption, encodeOptionReply } from '../codec/option.ts'
import { NBD_OPT_LIST, NBD_OPT_STARTTLS, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, NBD_REP_ERR_TLS_REQD } from '../constants.ts'
import { type NbdServer, startNbdServer } from '../server/start-nbd-server.ts'
import { makeCertificates, type TestCertificates } from '../testing/certificates.ts'
import { MemoryBackend } from '../testing/memory-backend.ts'
import { hasTool, temporaryDirectory } from '../testing/peer-process.ts'
import { connectNbd } from './connect-nbd.ts'

const MiB = 1024 * 1024
const CONTENT = Uint8Array.from({ length: 4 * MiB }, (_, index) => index % 251)
const openssl = hasTool('openssl')
const CLIENT_FLAGS = Buffer.from([0, 0, 0, 3])
const STARTTLS = encodeOption(NBD_OPT_STARTTLS)

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
let good: TestCertificates
let other: TestCertificates
let expired: TestCertificates
const closers: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  directory = await temporaryDirectory()
  if (!openssl) return
  const folder = async (name: string) => {
    await mkdir(join(directory.path, name))
    return join(directory.path, name)
  }
  good = await makeCertificates(await folder('good'))
  other = await makeCertificates(await folder('other'), 'DNS:elsewhere.example')
  expired = await makeCertificates(await folder('expired'), 'IP:127.0.0.1', -1)
})
afterAll(() => directory.remove())
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const port = (server: NbdServer) => (server.tlsAddress as { port: number }).port

async function serve({ cert, key }: TestCertificates, handshakeMs = 10_000): Promise<NbdServer> {
  const exports = { open: async () => new MemoryBackend(Uint8Array.from(CONTENT)) }
  const server = await startNbdServer({ listen: { port: 0 }, tls: { cert, key }, exports, handshakeMs })
  closers.push(() => server.close(1000))
  return server
}

interface Script {
  readonly name: string
  readonly code: string
  /** In reply to NBD_OPT_STARTTLS. */
  readonly option: Uint8Array
  /** In reply to the first bytes of TLS. */
  readonly hello?: Uint8Array
  /** Hang up after that. */
  readonly end?: true
}

async function scripted({ option, hello, end }: Script): Promise<number> {
  const sockets = new Set<Socket>()
  const server: Server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.write(Buffer.from('NBDMAGICIHAVEOPT\0\x03', 'latin1'))
    let received = 0
    let left = hello
    socket.on('data', chunk => {
      const asked = received >= CLIENT_FLAGS.length + STARTTLS.length
      received += chunk.length
      if (!asked && received >= CLIENT_FLAGS.length + STARTTLS.length) socket.write(option)
      if (asked && left !== undefined) {
        if (end) socket.end(left)
        else socket.write(left)
        left = undefined
      }
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise(resolve => server.close(resolve))
  })
  return (server.address() as { port: number }).port
}

test('reads and writes of many sizes over several connections, PEM and DER', async ctx => {
  if (!openssl) ctx.skip('openssl is not installed')
  const server = await serve(good)
  const der = Buffer.from(String(good.ca).replace(/-----.*-----/g, ''), 'base64')
  for (const ca of [good.ca, String(good.ca), der]) {
    const client = await connectNbd({ host: '127.0.0.1', port: port(server), exportName: 'disk', tls: { ca } }, { connections: 3 })
    const bytes = Uint8Array.from({ length: 2 * MiB + 5 }, (_, index) => index % 13)
    await client.write(MiB + 3, bytes)
    const expected = Uint8Array.from(CONTENT)
    expected.set(bytes, MiB + 3)
    const reads = [1, 511, 16_384, 16_385, 65_536, MiB, 4 * MiB].map(async length => {
      const into = new Uint8Array(length)
      await client.read(4 * MiB - length, length, into)
      expect(Buffer.compare(into, expected.subarray(4 * MiB - length))).toBe(0)
    })
    await Promise.all(reads)
    await client.close()
  }
})

test('plain and TLS side by side serve one opened export', async ctx => {
  if (!openssl) ctx.skip('openssl is not installed')
  let opened = 0
  const server = await startNbdServer({
    listen: { port: 0 },
    tls: { cert: good.cert, key: good.key, listen: { port: 0 } },
    exports: {
      open: async () => {
        opened++
        return new MemoryBackend(MiB)
      },
    },
  })
  closers.push(() => server.close(1000))
  const plainPort = (server.address as { port: number }).port
  const plain = await connectNbd({ host: '127.0.0.1', port: plainPort, exportName: 'disk' })
  const tls = await connectNbd({ host: '127.0.0.1', port: port(server), exportName: 'disk', tls: good })
  await plain.write(0, Buffer.from('varve'))
  expect(Buffer.from((await tls.read(0, 5))[0]!.bytes!).toString()).toBe('varve')
  expect(opened).toBe(1)
  await expect(connectNbd({ host: '127.0.0.1', port: plainPort, exportName: 'disk', tls: good })).rejects.toMatchObject({
    code: 'NBD_REFUSED',
    message: 'the server offers no TLS',
  })
  await expect(connectNbd({ host: '127.0.0.1', port: port(server), exportName: 'disk' })).rejects.toMatchObject({ code: 'NBD_REFUSED' })
  await server.closeExport('disk')
  await expect(tls.read(0, 5)).rejects.toMatchObject({ code: 'NBD_CLOSED' })
  await expect(plain.read(0, 5)).rejects.toMatchObject({ code: 'NBD_CLOSED' })
})

test('a certificate that must not be trusted is NBD_TLS_UNTRUSTED', async ctx => {
  if (!openssl) ctx.skip('openssl is not installed')
  const open = async (certificates: TestCertificates, tls: { ca: Buffer; servername?: string }) => {
    const server = await serve(certificates)
    const client = await connectNbd({ host: '127.0.0.1', port: port(server), exportName: 'disk', tls })
    await client.close()
  }
  const untrusted = { code: 'NBD_TLS_UNTRUSTED', retryable: false }
  await expect(open(good, { ca: other.ca })).rejects.toMatchObject(untrusted)
  await expect(open(expired, { ca: expired.ca })).rejects.toMatchObject({ ...untrusted, message: expect.stringContaining('expired') })
  await expect(open(other, { ca: other.ca })).rejects.toMatchObject(untrusted)
  await expect(open(good, { ca: good.ca, servername: 'elsewhere.example' })).rejects.toMatchObject(untrusted)
  await open(other, { ca: other.ca, servername: 'elsewhere.example' })
  await open(good, { ca: good.ca, servername: 'localhost' })
  await expect(open(good, { ca: Buffer.from('no certificate') })).rejects.toMatchObject({ code: 'NBD_INPUT_INVALID' })
})

const ACK = encodeOptionReply(NBD_OPT_STARTTLS, NBD_REP_ACK)
/** What a man in the middle would like to be taken for the first protected reply. */
const INJECTED = encodeOptionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK)
const NOTHING = new Uint8Array(0)
const RECORD_START = Buffer.from([22, 3, 3, 0, 100, 2, 0])
const SERVERS: readonly Script[] = [
  { name: 'ends in the middle of the TLS handshake', code: 'NBD_CLOSED', option: ACK, hello: NOTHING, end: true },
  { name: 'ends in the middle of a TLS record', code: 'NBD_CLOSED', option: ACK, hello: RECORD_START, end: true },
  { name: 'stands still in the TLS handshake', code: 'NBD_UNREACHABLE', option: ACK },
  { name: 'answers TLS with garbage', code: 'NBD_PROTOCOL', option: ACK, hello: Buffer.alloc(500, 'garbage ') },
  { name: 'puts plain bytes behind its agreement', code: 'NBD_PROTOCOL', option: Buffer.concat([ACK, INJECTED]) },
  { name: 'sends plain bytes instead of TLS', code: 'NBD_PROTOCOL', option: ACK, hello: INJECTED },
  { name: 'refuses', code: 'NBD_REFUSED', option: encodeOptionReply(NBD_OPT_STARTTLS, NBD_REP_ERR_TLS_REQD) },
  { name: 'answers another option', code: 'NBD_PROTOCOL', option: INJECTED },
]
test.for(SERVERS)('a server that $name: $code', async (script, ctx) => {
  if (!openssl) ctx.skip('openssl is not installed')
  const address = { host: '127.0.0.1', port: await scripted(script), exportName: 'disk', tls: good }
  await expect(connectNbd(address, { connectMs: script.code === 'NBD_UNREACHABLE' ? 300 : 10_000 })).rejects.toMatchObject({
    code: script.code,
  })
})

/** What a client that sends these bytes receives until the server hangs up. */
function talk(to: number, ...sent: readonly Uint8Array[]): Promise<Buffer> {
  return new Promise(resolve => {
    const received: Buffer[] = []
    const socket = connect(to, '127.0.0.1', () => socket.write(Buffer.concat(sent)))
    socket.on('data', chunk => received.push(chunk))
    socket.on('error', () => {})
    socket.on('close', () => resolve(Buffer.concat(received)))
  })
}

test('a client that puts options behind STARTTLS, or garbage, is dropped; the server lives', async ctx => {
  if (!openssl) ctx.skip('openssl is not installed')
  // It must not be the time limit that ends them.
  const server = await serve(good, 600_000)
  const said = await talk(port(server), CLIENT_FLAGS, STARTTLS, encodeOption(NBD_OPT_LIST))
  // Its greeting and the agreement, nothing to what came behind it.
  expect(said.length).toBeLessThanOrEqual(18 + 20)
  await talk(port(server), CLIENT_FLAGS, STARTTLS, Buffer.alloc(300, 'x'))
  const client = await connectNbd({ host: '127.0.0.1', port: port(server), exportName: 'disk', tls: good })
  expect(client.size).toBe(4 * MiB)
  await client.close()
})

test('clients that stand still, or leave, in the middle of the TLS handshake are forgotten', async ctx => {
  if (!openssl) ctx.skip('openssl is not installed')
  const exports = { open: async () => new MemoryBackend(MiB) }
  const server = await startNbdServer({ listen: { port: 0 }, tls: good, exports, handshakeMs: 300 })
  closers.push(() => server.close(1000))
  await talk(port(server), CLIENT_FLAGS, STARTTLS)
  await expect.poll(() => server.connections).toBe(0)
  const gone = connect(port(server), '127.0.0.1', () => gone.write(Buffer.concat([CLIENT_FLAGS, STARTTLS])))
  gone.on('data', chunk => chunk.length >= 20 && gone.resetAndDestroy())
  await expect.poll(() => gone.destroyed && server.connections).toBe(0)
})

test('TLS older than 1.2 is refused', async ctx => {
  if (!openssl) ctx.skip('openssl is not installed')
  const server = await serve(good)
  const socket = connect(port(server), '127.0.0.1')
  await new Promise<void>(resolve => socket.once('data', () => resolve()))
  socket.write(Buffer.concat([CLIENT_FLAGS, STARTTLS]))
  await new Promise<void>(resolve => socket.once('data', () => resolve()))
  const ciphers = 'ALL@SECLEVEL=0'
  const old = connectTls({ socket, ca: good.ca, host: '127.0.0.1', minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers })
  const error = await new Promise<NodeJS.ErrnoException>(resolve => old.once('error', resolve))
  expect(error.code).toMatch(/PROTOCOL_VERSION|ERR_SSL/)
})
