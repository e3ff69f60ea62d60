import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type NbdServer, startNbdServer } from '../server/start-nbd-server.ts'
import { makeCertificates, type TestCertificates } from '../testing/certificates.ts'
import { MemoryBackend } from '../testing/memory-backend.ts'
import { hasTool, runTool, startPeer, temporaryDirectory } from '../testing/peer-process.ts'
import { connectNbd } from './connect-nbd.ts'

/** TLS with the programs that others wrote, both ways. */

const MiB = 1024 * 1024
const SIZE = 16 * MiB

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
const closers: (() => Promise<void>)[] = []
beforeEach(async () => {
  directory = await temporaryDirectory()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await directory.remove()
})

const missing = (...tools: readonly string[]) => tools.find(tool => !hasTool(tool))
const socket = () => join(directory.path, 'nbd.sock')

function randomBytes(length: number): Uint8Array {
  let seed = 7
  return Uint8Array.from({ length }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed >>> 16
  })
}

/** Our server, with and without TLS on ports of its own. */
async function serve(certificates: TestCertificates, disk: MemoryBackend): Promise<{ server: NbdServer; uri: string; port: number }> {
  const tls = { cert: certificates.cert, key: certificates.key, listen: { port: 0 } }
  const server = await startNbdServer({ listen: { port: 0 }, tls, exports: { open: async () => disk } })
  closers.push(() => server.close(1000))
  const port = (server.tlsAddress as { port: number }).port
  return { server, port, uri: `nbds://localhost:${port}/disk?tls-certificates=${certificates.folder}` }
}

test('nbdkit --tls=require: reads over several connections; plain clients are refused', async ctx => {
  const tool = missing('nbdkit', 'openssl')
  if (tool !== undefined) ctx.skip(`${tool} is not installed`)
  const { folder, ca } = await makeCertificates(directory.path)
  const args = ['-f', '-U', socket(), '--tls=require', `--tls-certificates=${folder}`, 'pattern', '64M']
  closers.push((await startPeer('nbdkit', args, socket())).stop)
  const client = await connectNbd({ path: socket(), exportName: '', tls: { ca } }, { connections: 2 })
  closers.push(() => client.close())
  expect(client).toMatchObject({ size: 64 * MiB, structuredReplies: true })
  const reads = Array.from({ length: 12 }, (_, index) => index * 4_000_003)
  const results = await Promise.all(reads.map(offset => client.read(offset - (offset % 8), MiB)))
  for (const [index, [piece]] of results.entries()) {
    const start = reads[index]! - (reads[index]! % 8)
    const bytes = Buffer.from(piece!.bytes!)
    for (let at = 0; at < MiB; at += 65_536 - 8) expect(bytes.readBigUInt64BE(at)).toBe(BigInt(start + at))
  }
  await expect(connectNbd({ path: socket(), exportName: '' })).rejects.toMatchObject({
    code: 'NBD_REFUSED',
    context: { reply: 'NBD_REP_ERR_TLS_REQD' },
  })
})

test('nbdkit without TLS is refused', async ctx => {
  const tool = missing('nbdkit', 'openssl')
  if (tool !== undefined) ctx.skip(`${tool} is not installed`)
  const { ca } = await makeCertificates(directory.path)
  closers.push((await startPeer('nbdkit', ['-f', '-U', socket(), '--tls=off', 'pattern', '1M'], socket())).stop)
  await expect(connectNbd({ path: socket(), exportName: '', tls: { ca } })).rejects.toMatchObject({ code: 'NBD_REFUSED' })
})

test('qemu-nbd --tls-creds: write, read back, holes', async ctx => {
  const tool = missing('qemu-nbd', 'qemu-img', 'openssl')
  if (tool !== undefined) ctx.skip(`${tool} is not installed`)
  const { folder, ca } = await makeCertificates(directory.path)
  const image = join(directory.path, 'disk.qcow2')
  await runTool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M'])
  const creds = `tls-creds-x509,id=tls0,endpoint=server,dir=${folder},verify-peer=no`
  const args = ['-t', '-e', '8', '-k', socket(), '-x', 'disk', '-f', 'qcow2', '--object', creds, '--tls-creds', 'tls0', image]
  closers.push((await startPeer('qemu-nbd', args, socket())).stop)
  const client = await connectNbd({ path: socket(), exportName: 'disk', tls: { ca } }, { connections: 2 })
  closers.push(() => client.close())
  const data = randomBytes(3 * MiB)
  await client.write(5 * MiB, data)
  await client.flush()
  const pieces = await client.read(4 * MiB, 8 * MiB)
  expect(pieces.map(piece => [piece.offset, piece.bytes !== undefined])).toEqual([
    [4 * MiB, false],
    [5 * MiB, true],
    [8 * MiB, false],
  ])
  expect(Buffer.compare(pieces[1]!.bytes!, data)).toBe(0)
})

test('nbdinfo and nbdcopy with nbds:// read and write our server', async ctx => {
  const tool = missing('nbdinfo', 'nbdcopy', 'openssl')
  if (tool !== undefined) ctx.skip(`${tool} is not installed`)
  const disk = new MemoryBackend(SIZE)
  const { uri, port } = await serve(await makeCertificates(directory.path), disk)
  const { exports } = JSON.parse(await runTool('nbdinfo', ['--json', uri])) as { exports: Record<string, unknown>[] }
  expect(exports[0]).toMatchObject({ 'export-name': 'disk', 'export-size': SIZE, can_multi_conn: true })
  await expect(runTool('nbdinfo', [`nbd://localhost:${port}/disk`])).rejects.toThrow(/not supported/)
  const image = new Uint8Array(SIZE)
  image.set(randomBytes(3 * MiB + 777), 2 * MiB)
  const [source, copy] = [join(directory.path, 'in.img'), join(directory.path, 'out.img')]
  await writeFile(source, image)
  await runTool('nbdcopy', ['--flush', '--connections=4', source, uri])
  expect(Buffer.compare(disk.bytes, image)).toBe(0)
  await runTool('nbdcopy', ['--connections=4', uri, copy])
  expect(Buffer.compare(await readFile(copy), image)).toBe(0)
})

test('qemu-img with tls-creds converts from our server', async ctx => {
  const tool = missing('qemu-img', 'openssl')
  if (tool !== undefined) ctx.skip(`${tool} is not installed`)
  const certificates = await makeCertificates(directory.path)
  const disk = new MemoryBackend(SIZE)
  await disk.write(MiB, randomBytes(MiB), false)
  const { port } = await serve(certificates, disk)
  const copy = join(directory.path, 'out.img')
  const creds = `tls-creds-x509,id=tls0,endpoint=client,dir=${certificates.folder}`
  const source = `driver=nbd,host=127.0.0.1,port=${port},export=disk,tls-creds=tls0`
  await runTool('qemu-img', ['convert', '--object', creds, '--image-opts', source, '-O', 'raw', copy])
  expect(Buffer.compare(await readFile(copy), disk.bytes)).toBe(0)
})
