import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { NbdError, requestFailed } from '../errors.ts'
import type { NbdBackend } from '../server/backend.ts'
import { type NbdServer, type NbdServerOptions, startNbdServer } from '../server/start-nbd-server.ts'
import { MemoryBackend } from '../testing/memory-backend.ts'
import { connectNbd } from './connect-nbd.ts'
import type { NbdClient, NbdClientOptions } from './nbd-client.ts'

const KiB = 1024
const MiB = 1024 * KiB
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function serve(backend: NbdBackend, options: Partial<NbdServerOptions> = {}): Promise<NbdServer & { readonly port: number }> {
  const server = await startNbdServer({
    listen: { port: 0 },
    exports: {
      async open(name) {
        if (name === 'forbidden') throw new NbdError('NBD_REFUSED', 'the lease has ended')
        if (name !== 'disk') throw new NbdError('NBD_EXPORT_UNKNOWN', `no export ${name}`)
        return backend
      },
    },
    ...options,
  })
  closers.push(() => server.close(100))
  return Object.assign(server, { port: 'port' in server.address ? server.address.port : 0 })
}

async function open(port: number, options: NbdClientOptions = {}): Promise<NbdClient> {
  const client = await connectNbd({ host: '127.0.0.1', port, exportName: 'disk' }, options)
  closers.push(() => client.close())
  return client
}

/** A backend with some of its calls replaced. */
function overriding(backend: MemoryBackend, calls: Partial<NbdBackend>): NbdBackend {
  return {
    size: backend.size,
    readOnly: backend.readOnly,
    blockSize: backend.blockSize,
    read: (offset, target) => backend.read(offset, target),
    write: (offset, bytes, fua) => backend.write(offset, bytes, fua),
    flush: () => backend.flush(),
    trim: (offset, length, fua) => backend.trim(offset, length, fua),
    writeZeroes: (offset, length, fua, mayTrim) => backend.writeZeroes(offset, length, fua, mayTrim),
    blockStatus: (offset, length) => backend.blockStatus(offset, length),
    close: () => backend.close(),
    ...calls,
  }
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 8)) % 251)
}

test('reads give back what was written; holes come without bytes', async () => {
  const backend = new MemoryBackend(4 * MiB)
  const { port } = await serve(backend)
  const client = await open(port)
  const data = pattern(256 * KiB)
  await client.write(MiB, data, { fua: true })
  expect(backend.calls.fua).toBe(1)
  const pieces = await client.read(512 * KiB, MiB)
  expect(pieces.map(({ offset, length, bytes }) => [offset / KiB, length / KiB, bytes !== undefined])).toEqual([
    [512, 512, false],
    [1024, 256, true],
    [1280, 256, false],
  ])
  expect(Buffer.compare(pieces[1]!.bytes!, data)).toBe(0)
  expect(client.bytesRead).toBe(256 * KiB)
  const whole = new Uint8Array(4 * MiB).fill(9)
  await client.readInto(0, whole)
  expect(Buffer.compare(whole, backend.bytes)).toBe(0)
})

test('read into a buffer of the caller: pieces are views of it', async () => {
  const { port } = await serve(new MemoryBackend(pattern(64 * KiB)))
  const client = await open(port)
  const into = new Uint8Array(16 * KiB)
  const [piece] = await client.read(3000, 10_000, into)
  expect(piece!.bytes!.buffer).toBe(into.buffer)
  expect(Buffer.compare(into.subarray(0, 10_000), pattern(64 * KiB).subarray(3000, 13_000))).toBe(0)
  await expect(client.read(0, 20_000, into)).rejects.toMatchObject({ code: 'NBD_INPUT_INVALID' })
})

test('requests overlap over several connections and none mixes with another', async () => {
  const content = pattern(8 * MiB)
  const server = await serve(new MemoryBackend(content))
  const client = await open(server.port, { connections: 3, inFlight: 4 })
  expect(server.connections).toBe(3)
  const reads = Array.from({ length: 200 }, (_, index) => ({
    offset: (index * 37_777) % (7 * MiB),
    length: 1 + ((index * 9973) % (512 * KiB)),
  }))
  const results = await Promise.all(reads.map(({ offset, length }) => client.read(offset, length)))
  for (const [index, { offset, length }] of reads.entries()) {
    expect(results[index]!.length).toBe(1)
    expect(Buffer.compare(results[index]![0]!.bytes!, content.subarray(offset, offset + length))).toBe(0)
  }
})

test('as many requests are in flight as asked for: eight wait for each other', async () => {
  const backend = new MemoryBackend(pattern(MiB))
  let arrived = 0
  let open8 = () => {}
  const all = new Promise<void>(resolve => {
    open8 = resolve
  })
  const meeting = overriding(backend, {
    async read(offset, target) {
      arrived++
      if (arrived === 8) open8()
      await all
      await backend.read(offset, target)
    },
  })
  const { port } = await serve(meeting)
  const client = await open(port, { inFlight: 8 })
  const results = await Promise.all(Array.from({ length: 16 }, (_, index) => client.read(index * 4096, 4096)))
  for (const [index, [piece]] of results.entries()) expect(piece).toMatchObject({ offset: index * 4096, length: 4096 })
})

test('trim, write-zeroes, flush and block status', async () => {
  const backend = new MemoryBackend(pattern(MiB))
  const { port } = await serve(backend)
  const client = await open(port)
  await client.trim(0, 64 * KiB)
  await client.writeZeroes(128 * KiB, 64 * KiB)
  await client.writeZeroes(256 * KiB, 64 * KiB, { noHole: true })
  await client.flush()
  expect(backend.calls).toMatchObject({ trim: 1, writeZeroes: 2, flush: 1 })
  const status = await client.blockStatus(0, MiB)
  expect(status.map(({ offset, length, hole }) => [offset / KiB, length / KiB, hole])).toEqual([
    [0, 64, true],
    [64, 64, false],
    [128, 64, true],
    [192, 832, false],
  ])
})

test('a minimum block size widens reads and is told for writes', async () => {
  const content = pattern(64 * KiB)
  const backend = new MemoryBackend(content, { blockSize: { minimum: 4096, preferred: 65_536 } })
  const { port } = await serve(backend)
  const client = await open(port)
  expect(client.minimumBlockSize).toBe(4096)
  const target = new Uint8Array(5000)
  await client.readInto(1234, target)
  expect(Buffer.compare(target, content.subarray(1234, 6234))).toBe(0)
  const [piece] = await client.read(4095, 2)
  expect(Buffer.compare(piece!.bytes!, content.subarray(4095, 4097))).toBe(0)
  await expect(client.write(1, new Uint8Array(4096))).rejects.toMatchObject({ code: 'NBD_INPUT_INVALID' })
})

test('requests above 32 MiB are split', async () => {
  const backend = new MemoryBackend(80 * MiB)
  const { port } = await serve(backend)
  const client = await open(port)
  const data = new Uint8Array(70 * MiB).fill(3)
  await client.write(5 * MiB, data)
  expect(backend.calls.write).toBe(3)
  const back = new Uint8Array(70 * MiB)
  await client.readInto(5 * MiB, back)
  expect(Buffer.compare(back, data)).toBe(0)
  await expect(client.read(0, 33 * MiB)).rejects.toMatchObject({ code: 'NBD_INPUT_INVALID' })
})

test('a failed request says its errno and the connection lives', async () => {
  const backend = new MemoryBackend(pattern(MiB))
  const { port } = await serve(backend)
  const client = await open(port)
  backend.failures.set('read', new Error('disk on fire'))
  await expect(client.read(0, 4096)).rejects.toMatchObject({ code: 'NBD_REQUEST_FAILED', context: { errno: 'EIO' } })
  backend.failures.clear()
  backend.failures.set('write', requestFailed('ENOSPC', 'the overlay is full'))
  await expect(client.write(0, new Uint8Array(10))).rejects.toMatchObject({ code: 'NBD_REQUEST_FAILED', context: { errno: 'ENOSPC' } })
  backend.failures.clear()
  expect((await client.read(0, 4096)).length).toBe(1)
})

test('unknown, forbidden and read-only exports', async () => {
  const { port } = await serve(new MemoryBackend(pattern(MiB), { readOnly: true }))
  await expect(connectNbd({ port, host: '127.0.0.1', exportName: 'other' })).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN' })
  await expect(connectNbd({ port, host: '127.0.0.1', exportName: 'forbidden' })).rejects.toMatchObject({
    code: 'NBD_REFUSED',
    message: 'the lease has ended',
  })
  const client = await open(port)
  expect(client.readOnly).toBe(true)
  await expect(client.write(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'NBD_REQUEST_FAILED', context: { errno: 'EPERM' } })
})

test('the backend is shared by connections and closed with the last', async () => {
  const backend = new MemoryBackend(MiB)
  const { port } = await serve(backend)
  const [one, two] = [await open(port), await open(port)]
  await one.close()
  await two.flush()
  expect(backend.calls.close).toBe(0)
  await two.close()
  await expect.poll(() => backend.calls.close).toBe(1)
  const again = await open(port)
  await again.flush()
})

test('closeExport ends the connections of that export, typed at the client', async () => {
  const backend = new MemoryBackend(pattern(MiB))
  const server = await serve(backend)
  const client = await open(server.port, { connections: 2 })
  await server.closeExport('other')
  await client.flush()
  await server.closeExport('disk')
  expect(backend.calls.close).toBe(1)
  await expect(client.flush()).rejects.toMatchObject({ code: 'NBD_CLOSED', retryable: true })
  expect(server.connections).toBe(0)
})

test('close of the server answers what is in flight', async () => {
  const backend = new MemoryBackend(pattern(MiB))
  let release = () => {}
  let entered = 0
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  const slow = overriding(backend, {
    async read(offset: number, target: Uint8Array) {
      entered++
      await gate
      await backend.read(offset, target)
    },
  })
  const server = await serve(slow)
  const client = await open(server.port)
  const reading = client.read(0, 4096)
  await expect.poll(() => entered).toBe(1)
  const closing = server.close()
  release()
  expect((await reading)[0]!.length).toBe(4096)
  await closing
  expect(backend.calls.close).toBe(1)
})

test('bounds on connections', async () => {
  const { port } = await serve(new MemoryBackend(MiB), { maxConnections: 2, maxConnectionsPerExport: 1 })
  await open(port)
  await expect(connectNbd({ host: '127.0.0.1', port, exportName: 'disk' })).rejects.toMatchObject({ code: 'NBD_REFUSED' })
})

test('abort and close settle every request, also those that wait', async () => {
  const backend = new MemoryBackend(pattern(MiB))
  const stuck = overriding(backend, { read: () => new Promise<void>(resolve => closers.push(async () => resolve())) })
  const { port } = await serve(stuck)
  const abort = new AbortController()
  const client = await open(port, { inFlight: 2, signal: abort.signal })
  const reads = Array.from({ length: 10 }, (_, index) => client.read(index * 4096, 4096))
  abort.abort(new Error('no more'))
  for (const outcome of await Promise.allSettled(reads)) expect(outcome).toMatchObject({ reason: { code: 'NBD_ABORTED' } })
  const other = await open(port, { inFlight: 2 })
  const more = Array.from({ length: 10 }, (_, index) => other.read(index * 4096, 4096))
  const settled = Promise.allSettled(more)
  await other.close()
  for (const outcome of await settled) expect(outcome).toMatchObject({ reason: { code: 'NBD_CLOSED' } })
  await expect(connectNbd({ host: '127.0.0.1', port, exportName: 'disk' }, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'NBD_ABORTED',
  })
})

test('over a unix socket; nobody there is NBD_UNREACHABLE', async () => {
  const path = join(tmpdir(), `varve-nbd-${process.pid}.sock`)
  const { close } = await serve(new MemoryBackend(pattern(4096)), { listen: { path } })
  const client = await connectNbd({ path, exportName: 'disk' })
  expect((await client.read(0, 10))[0]!.length).toBe(10)
  await client.close()
  await close()
  await expect(connectNbd({ path, exportName: 'disk' })).rejects.toMatchObject({ code: 'NBD_UNREACHABLE', retryable: true })
})
