import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hasTool, runTool, startPeer, temporaryDirectory } from '../testing/peer-process.ts'
import { connectNbd } from './connect-nbd.ts'
import type { NbdClient, NbdClientOptions } from './nbd-client.ts'

/** Our client with the servers that others wrote. */

const KiB = 1024
const MiB = 1024 * KiB

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
const closers: (() => Promise<void>)[] = []
beforeEach(async () => {
  directory = await temporaryDirectory()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await directory.remove()
})

const socket = () => join(directory.path, 'nbd.sock')

async function nbdkit(...args: string[]): Promise<void> {
  const peer = await startPeer('nbdkit', ['-f', '-U', socket(), ...args], socket())
  closers.push(() => peer.stop())
}

async function open(options: NbdClientOptions = {}, exportName = ''): Promise<NbdClient> {
  const client = await connectNbd({ path: socket(), exportName }, options)
  closers.push(() => client.close())
  return client
}

/** nbdkit's pattern plugin: every 8 bytes hold their own offset, big-endian. */
function expectPattern(bytes: Uint8Array, offset: number): void {
  const expected = Buffer.alloc(Math.ceil(bytes.length / 8) * 8 + 16)
  const start = offset - (offset % 8)
  for (let at = 0; at < expected.length; at += 8) expected.writeBigUInt64BE(BigInt(start + at), at)
  expect(Buffer.compare(bytes, expected.subarray(offset % 8, (offset % 8) + bytes.length))).toBe(0)
}

test('qemu-nbd: sparse raw image, holes, status, write, trim, several connections', async ctx => {
  if (!hasTool('qemu-nbd')) ctx.skip('qemu-nbd is not installed')
  const image = join(directory.path, 'disk.qcow2')
  await runTool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '64M'])
  const peer = await startPeer(
    'qemu-nbd',
    ['-t', '-e', '8', '-k', socket(), '-x', 'disk', '-f', 'qcow2', '--discard=unmap', image],
    socket(),
  )
  closers.push(() => peer.stop())
  const client = await open({ connections: 4 }, 'disk')
  expect(client).toMatchObject({ size: 64 * MiB, readOnly: false, structuredReplies: true, blockStatusAvailable: true })
  const data = Buffer.alloc(3 * MiB, 'varve')
  await client.write(5 * MiB, data, { fua: true })
  await client.flush()
  const pieces = await client.read(4 * MiB, 8 * MiB)
  expect(pieces.map(piece => [piece.offset, piece.length, piece.bytes !== undefined])).toEqual([
    [4 * MiB, MiB, false],
    [5 * MiB, 3 * MiB, true],
    [8 * MiB, 4 * MiB, false],
  ])
  expect(Buffer.compare(pieces[1]!.bytes!, data)).toBe(0)
  await client.trim(6 * MiB, MiB)
  await client.writeZeroes(7 * MiB, 64 * KiB)
  const status = await client.blockStatus(5 * MiB, 4 * MiB)
  expect(status[0]).toEqual({ offset: 5 * MiB, length: MiB, hole: false, zero: false })
  expect(status[1]).toMatchObject({ offset: 6 * MiB, zero: true })
  const back = new Uint8Array(4 * MiB).fill(1)
  await client.readInto(5 * MiB, back)
  expect(
    Buffer.compare(
      back,
      Buffer.concat([data.subarray(0, MiB), Buffer.alloc(MiB + 64 * KiB), data.subarray(2 * MiB + 64 * KiB), Buffer.alloc(MiB)]),
    ),
  ).toBe(0)
  await expect(open({}, 'other')).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN' })
})

test('qemu-nbd read-only', async ctx => {
  if (!hasTool('qemu-nbd')) ctx.skip('qemu-nbd is not installed')
  const image = join(directory.path, 'disk.img')
  await writeFile(image, Buffer.alloc(MiB, 'x'))
  const peer = await startPeer('qemu-nbd', ['-t', '-r', '-k', socket(), '-f', 'raw', image], socket())
  closers.push(() => peer.stop())
  const client = await open()
  expect(client.readOnly).toBe(true)
  expect((await client.read(0, MiB))[0]!.length).toBe(MiB)
})

const FALLBACKS: readonly (readonly [string, readonly string[], boolean])[] = [
  ['structured replies', [], true],
  ['no structured replies', ['--no-sr'], false],
  ['not fixed newstyle, only EXPORT_NAME', ['--mask-handshake=0'], false],
  ['with the zeroes after EXPORT_NAME', ['--mask-handshake=1'], true],
]
test.for(FALLBACKS)('nbdkit pattern: %s', async ([, args, structured], ctx) => {
  if (!hasTool('nbdkit')) ctx.skip('nbdkit is not installed')
  await nbdkit(...args, 'pattern', '64M')
  const client = await open({ connections: 2 })
  expect(client.size).toBe(64 * MiB)
  expect(client.structuredReplies).toBe(structured)
  const reads = Array.from({ length: 24 }, (_, index) => ({ offset: index * 2_000_003, length: MiB + index * 1001 }))
  const results = await Promise.all(reads.map(({ offset, length }) => client.read(offset, length)))
  for (const [index, { offset, length }] of reads.entries()) {
    expect(results[index]!.reduce((sum, piece) => sum + piece.length, 0)).toBe(length)
    for (const piece of results[index]!) expectPattern(piece.bytes!, piece.offset)
    expect(results[index]![0]!.offset).toBe(offset)
  }
  const last = new Uint8Array(32 * MiB)
  await client.readInto(32 * MiB, last)
  expectPattern(last, 32 * MiB)
})

test('nbdkit memory: holes come back as such after zeroing', async ctx => {
  if (!hasTool('nbdkit')) ctx.skip('nbdkit is not installed')
  await nbdkit('memory', '1T')
  const client = await open()
  await client.write(500 * 1024 * MiB, Buffer.alloc(MiB, 9))
  const status = await client.blockStatus(499 * 1024 * MiB, 10 * 1024 * MiB)
  expect(status[0]).toMatchObject({ hole: true, zero: true })
  const pieces = await client.read(500 * 1024 * MiB - MiB, 3 * MiB)
  const data = pieces.filter(piece => piece.bytes !== undefined).reduce((sum, piece) => sum + piece.length, 0)
  expect(data).toBeGreaterThanOrEqual(MiB)
  expect(pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(3 * MiB)
  await client.writeZeroes(500 * 1024 * MiB, MiB)
  const zeros = new Uint8Array(MiB).fill(1)
  await client.readInto(500 * 1024 * MiB, zeros)
  expect(zeros.every(byte => byte === 0)).toBe(true)
})

test('nbdkit delay: many slow requests in flight', async ctx => {
  if (!hasTool('nbdkit')) ctx.skip('nbdkit is not installed')
  await nbdkit('--filter=delay', 'pattern', '16M', 'rdelay=100ms')
  const client = await open({ inFlight: 16 })
  const results = await Promise.all(Array.from({ length: 16 }, (_, index) => client.read(index * MiB, 4096)))
  for (const [index, pieces] of results.entries()) expectPattern(pieces[0]!.bytes!, index * MiB)
})

test('nbdkit delay beyond the stall time is NBD_STALLED', async ctx => {
  if (!hasTool('nbdkit')) ctx.skip('nbdkit is not installed')
  await nbdkit('--filter=delay', 'pattern', '16M', 'rdelay=20')
  const client = await open({ stallMs: 200 })
  await expect(client.read(0, 4096)).rejects.toMatchObject({ code: 'NBD_STALLED', retryable: true })
})

test('nbdkit error: each request fails by itself', async ctx => {
  if (!hasTool('nbdkit')) ctx.skip('nbdkit is not installed')
  await nbdkit('--filter=error', 'pattern', '16M', 'error-pread=ENOSPC', 'error-pread-rate=50%')
  const client = await open()
  const outcomes = await Promise.allSettled(Array.from({ length: 64 }, (_, index) => client.read(index * 4096, 4096)))
  const failed = outcomes.filter(outcome => outcome.status === 'rejected')
  expect(failed.length).toBeGreaterThan(0)
  expect(failed.length).toBeLessThan(64)
  for (const { reason } of failed) expect(reason).toMatchObject({ code: 'NBD_REQUEST_FAILED', context: { errno: 'ENOSPC' } })
  expect(client.bytesRead).toBe((64 - failed.length) * 4096)
})

test('nbdkit blocksize-policy: reads are widened and split, writes refused before they are sent', async ctx => {
  if (!hasTool('nbdkit')) ctx.skip('nbdkit is not installed')
  const policy = ['blocksize-minimum=4096', 'blocksize-preferred=65536', 'blocksize-maximum=1M', 'blocksize-error-policy=error']
  await nbdkit('--filter=blocksize-policy', 'pattern', '16M', ...policy)
  const client = await open()
  expect(client.minimumBlockSize).toBe(4096)
  for (const [offset, length] of [
    [1, 10],
    [4090, 3 * MiB + 7],
    [16 * MiB - 5, 5],
  ] as const) {
    const target = new Uint8Array(length)
    await client.readInto(offset, target)
    expectPattern(target, offset)
    const pieces = await client.read(offset, length)
    for (const piece of pieces) expectPattern(piece.bytes!, piece.offset)
    expect(pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(length)
  }
})

test('nbdkit killed while it answers: NBD_CLOSED for every request', async ctx => {
  if (!hasTool('nbdkit')) ctx.skip('nbdkit is not installed')
  const peer = await startPeer('nbdkit', ['-f', '-U', socket(), '--filter=delay', 'pattern', '64M', 'rdelay=5'], socket())
  closers.push(() => peer.stop())
  const client = await open()
  const reads = Promise.allSettled(Array.from({ length: 20 }, (_, index) => client.read(index * MiB, MiB)))
  await peer.stop()
  for (const outcome of await reads) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'NBD_CLOSED' } })
})
