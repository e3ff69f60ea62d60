import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { clientHandshake } from '../codec/client-handshake.ts'
import { HandshakeRunner } from '../codec/handshake-runner.ts'
import { encodeOption } from '../codec/option.ts'
import { encodeRequest } from '../codec/request.ts'
import { readUint32 } from '../codec/uint64.ts'
import {
  NBD_CMD_DISC,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  NBD_ERRNO,
  NBD_OPT_ABORT,
  NBD_OPT_LIST,
  NBD_OPT_STARTTLS,
  NBD_REP_ACK,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_TOO_BIG,
  NBD_REP_ERR_UNSUP,
  NBD_REP_SERVER,
} from '../constants.ts'
import { MemoryBackend } from '../testing/memory-backend.ts'
import { type NbdServer, type NbdServerOptions, startNbdServer } from './start-nbd-server.ts'

/** The server seen from a bare socket: what no well-behaved client does. */

const MiB = 1024 * 1024
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function serve(backend: MemoryBackend, options: Partial<NbdServerOptions> = {}): Promise<NbdServer> {
  const server = await startNbdServer({
    listen: { port: 0 },
    exports: { open: async () => backend, list: async () => ['a', 'b'] },
    ...options,
  })
  closers.push(() => server.close(0))
  return server
}

/** A socket whose bytes are taken with `take`. */
class Raw {
  readonly socket: Socket
  readonly closed: Promise<void>
  #received: Buffer[] = []
  #length = 0
  #changed = () => {}

  constructor(server: NbdServer) {
    this.socket = connect('port' in server.address ? server.address : { path: server.address.path })
    this.socket.on('error', () => {})
    this.socket.on('data', chunk => {
      this.#received.push(chunk)
      this.#length += chunk.length
      this.#changed()
    })
    this.closed = new Promise(resolve => this.socket.on('close', () => resolve()))
    closers.push(async () => this.socket.destroy())
  }

  async take(length: number): Promise<Buffer> {
    while (this.#length < length) {
      await new Promise<void>(resolve => {
        this.#changed = resolve
      })
    }
    const all = Buffer.concat(this.#received)
    this.#received = [all.subarray(length)]
    this.#length -= length
    return all.subarray(0, length)
  }

  async optionReply(): Promise<{ type: number; body: Buffer }> {
    const header = await this.take(20)
    return { type: header.readUInt32BE(12), body: await this.take(header.readUInt32BE(16)) }
  }

  /** A whole handshake, up to transmission. */
  async handshake(): Promise<this> {
    const runner = new HandshakeRunner(clientHandshake('disk'))
    for (;;) {
      const event = runner.poll()
      if (event.type === 'done') return this
      if (event.type === 'send') this.socket.write(event.bytes)
      if (event.type === 'need-more') runner.push(await this.take(1))
    }
  }

  /** Greeted, options may follow. */
  async greeted(): Promise<this> {
    await this.take(18)
    this.socket.write(Buffer.from([0, 0, 0, 3]))
    return this
  }

  request(command: number, low: number, offset: number, length: number): void {
    this.socket.write(encodeRequest({ flags: 0, command, cookie: { high: 9, low }, offset, length }))
  }
}

async function errnoOfReply(raw: Raw): Promise<number> {
  return readUint32(await raw.take(16), 4)
}

test('a refused write: its payload is consumed and the next request is understood', async () => {
  const readOnly = await new Raw(await serve(new MemoryBackend(MiB, { readOnly: true }))).handshake()
  readOnly.request(NBD_CMD_WRITE, 1, 0, 300_000)
  readOnly.socket.write(Buffer.alloc(300_000, 0x25))
  expect(await errnoOfReply(readOnly)).toBe(NBD_ERRNO.EPERM)
  readOnly.request(NBD_CMD_FLUSH, 2, 0, 0)
  expect(await errnoOfReply(readOnly)).toBe(0)

  const writable = await new Raw(await serve(new MemoryBackend(MiB))).handshake()
  writable.request(NBD_CMD_WRITE, 1, MiB - 1, 2)
  writable.socket.write(Buffer.alloc(2))
  expect(await errnoOfReply(writable)).toBe(NBD_ERRNO.ENOSPC)
  writable.request(NBD_CMD_WRITE, 1, 0, 33 * MiB)
  writable.socket.write(Buffer.alloc(33 * MiB))
  expect(await errnoOfReply(writable)).toBe(NBD_ERRNO.EINVAL)
  writable.request(NBD_CMD_FLUSH, 2, 0, 0)
  expect(await errnoOfReply(writable)).toBe(0)
})

test('options: list, TLS, nonsense, too long, abort', async () => {
  const raw = await new Raw(await serve(new MemoryBackend(MiB))).greeted()
  raw.socket.write(encodeOption(NBD_OPT_LIST))
  expect((await raw.optionReply()).type).toBe(NBD_REP_SERVER)
  expect((await raw.optionReply()).body.toString('latin1')).toBe('\0\0\0\x01b')
  expect((await raw.optionReply()).type).toBe(NBD_REP_ACK)
  raw.socket.write(encodeOption(NBD_OPT_STARTTLS))
  expect((await raw.optionReply()).type).toBe(NBD_REP_ERR_UNSUP)
  raw.socket.write(encodeOption(77))
  expect((await raw.optionReply()).type).toBe(NBD_REP_ERR_UNSUP)
  raw.socket.write(encodeOption(NBD_OPT_LIST, Buffer.from('x')))
  expect((await raw.optionReply()).type).toBe(NBD_REP_ERR_INVALID)
  raw.socket.write(encodeOption(NBD_OPT_LIST, Buffer.alloc(100_000)))
  expect((await raw.optionReply()).type).toBe(NBD_REP_ERR_TOO_BIG)
  raw.socket.write(encodeOption(NBD_OPT_ABORT))
  expect((await raw.optionReply()).type).toBe(NBD_REP_ACK)
  await raw.closed
})

test.each([
  ['no handshake', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['unknown client flags', Buffer.from([0, 0, 1, 3])],
  ['an option without magic', Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.alloc(16, 'x')])],
  ['an option of 4 GiB', Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.from('IHAVEOPT\0\0\0\x07\xff\xff\xff\xff', 'latin1')])],
])('%s: the connection is dropped', async (_, bytes) => {
  const server = await serve(new MemoryBackend(MiB))
  const raw = new Raw(server)
  raw.socket.write(bytes)
  await raw.closed
  await expect.poll(() => server.connections).toBe(0)
})

test('a client that says nothing is dropped after the handshake time', async () => {
  const server = await serve(new MemoryBackend(MiB), { handshakeMs: 50 })
  await new Raw(server).closed
  await expect.poll(() => server.connections).toBe(0)
})

test('garbage as a request: dropped, the export is closed', async () => {
  const backend = new MemoryBackend(MiB)
  const raw = await new Raw(await serve(backend)).handshake()
  raw.socket.write(Buffer.alloc(64, 'garbage'))
  await raw.closed
  await expect.poll(() => backend.calls.close).toBe(1)
})

test('a client that asks and does not read gets a bounded number of replies, then all of them', async () => {
  const backend = new MemoryBackend(new Uint8Array(MiB).fill(3))
  const raw = await new Raw(await serve(backend, { inFlight: 4 })).handshake()
  raw.socket.pause()
  for (let low = 0; low < 200; low++) raw.request(NBD_CMD_READ, low, 0, MiB)
  raw.request(NBD_CMD_DISC, 0, 0, 0)
  let before = -1
  // Until it stands still: the sockets are full.
  while (before !== backend.calls.read) {
    before = backend.calls.read
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  // Four, and what the sockets hold: below 16 MiB with the usual limits of Linux.
  expect(backend.calls.read).toBeLessThan(40)
  let received = 0
  raw.socket.removeAllListeners('data')
  raw.socket.on('data', chunk => {
    received += chunk.length
  })
  raw.socket.resume()
  await raw.closed
  expect(received).toBe(200 * (28 + MiB))
  expect(backend.calls.close).toBe(1)
})

test('a client that closes its side after its requests still gets the replies', async () => {
  const backend = new MemoryBackend(new Uint8Array(MiB).fill(3))
  const raw = await new Raw(await serve(backend, { inFlight: 2 })).handshake()
  for (let low = 0; low < 10; low++) raw.request(NBD_CMD_READ, low, 0, MiB)
  raw.socket.end()
  expect((await raw.take(10 * (28 + MiB))).length).toBe(10 * (28 + MiB))
  await raw.closed
  expect(backend.calls.close).toBe(1)
})

test('connections that hold all memory between them take turns; one that stops in the middle is dropped', async () => {
  const backend = new MemoryBackend(new Uint8Array(MiB).fill(3))
  const server = await serve(backend, { memoryBytes: 1, stallMs: 1000 })
  const stuck = await new Raw(server).handshake()
  const waiting = await Promise.all([new Raw(server).handshake(), new Raw(server).handshake()])
  stuck.request(NBD_CMD_WRITE, 1, 0, MiB)
  stuck.socket.write(Buffer.alloc(1000))
  for (const raw of waiting) for (let low = 0; low < 20; low++) raw.request(NBD_CMD_READ, low, 0, MiB)
  for (const raw of waiting) expect((await raw.take(20 * (28 + MiB))).length).toBe(20 * (28 + MiB))
  await stuck.closed
  for (const raw of waiting) expect(raw.socket.destroyed).toBe(false)
})

test('a client that goes away in the middle of a write', async () => {
  const backend = new MemoryBackend(MiB)
  const server = await serve(backend)
  const raw = await new Raw(server).handshake()
  for (let low = 0; low < 20; low++) raw.request(NBD_CMD_READ, low, 0, MiB)
  raw.request(NBD_CMD_WRITE, 1, 0, MiB)
  raw.socket.write(Buffer.alloc(1000), () => raw.socket.destroy())
  await expect.poll(() => backend.calls.close).toBe(1)
  expect(server.connections).toBe(0)
  expect(backend.calls.write).toBe(0)
})
