import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { NbdError } from '../errors.ts'
import { MemoryBackend, type MemoryBackendOptions } from '../testing/memory-backend.ts'
import { hasTool, runTool, temporaryDirectory } from '../testing/peer-process.ts'
import { type NbdServer, startNbdServer } from './start-nbd-server.ts'

/** Our server with the clients that others wrote. */

const KiB = 1024
const MiB = 1024 * KiB
const SIZE = 16 * MiB

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
let server: NbdServer
let disk: MemoryBackend
let uri: string

async function serve(options: MemoryBackendOptions = {}): Promise<void> {
  disk = new MemoryBackend(SIZE, options)
  const path = join(directory.path, 'nbd.sock')
  uri = `nbd+unix:///disk?socket=${path}`
  server = await startNbdServer({
    listen: { path },
    exports: {
      async open(name) {
        if (name !== 'disk') throw new NbdError('NBD_EXPORT_UNKNOWN', 'no such export')
        return disk
      },
      list: async () => ['disk'],
    },
  })
}

beforeEach(async () => {
  directory = await temporaryDirectory()
  await serve()
})
afterEach(async () => {
  await server.close(1000)
  await directory.remove()
})

function randomBytes(length: number): Uint8Array {
  let seed = 42
  return Uint8Array.from({ length }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed >>> 16
  })
}

test('nbdinfo sees size, flags and contexts, lists exports and maps extents', async ctx => {
  if (!hasTool('nbdinfo')) ctx.skip('nbdinfo is not installed')
  await disk.write(MiB, new Uint8Array(64 * KiB).fill(1), false)
  const { exports } = JSON.parse(await runTool('nbdinfo', ['--json', uri]))
  expect(exports[0]).toMatchObject({
    'export-name': 'disk',
    'export-size': SIZE,
    contexts: ['base:allocation'],
    is_read_only: false,
    can_cache: true,
    can_df: true,
    can_fast_zero: true,
    can_flush: true,
    can_fua: true,
    can_multi_conn: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 1,
  })
  const listed = JSON.parse(await runTool('nbdinfo', ['--json', '--list', uri.replace('disk', '')])) as {
    exports: { 'export-name': string }[]
  }
  expect(listed.exports.map(one => one['export-name'])).toEqual(['disk'])
  const map = JSON.parse(await runTool('nbdinfo', ['--json', '--map', uri])) as { offset: number; length: number; type: number }[]
  expect(map.map(({ offset, length, type }) => [offset, length, type])).toEqual([
    [0, MiB, 3],
    [MiB, 64 * KiB, 0],
    [MiB + 64 * KiB, SIZE - MiB - 64 * KiB, 3],
  ])
})

test('nbdinfo hears of an unknown export', async ctx => {
  if (!hasTool('nbdinfo')) ctx.skip('nbdinfo is not installed')
  await expect(runTool('nbdinfo', [uri.replace('disk', 'nothing')])).rejects.toThrow(/No such file/)
})

test('nbdcopy there and back over several connections, holes kept', async ctx => {
  if (!hasTool('nbdcopy')) ctx.skip('nbdcopy is not installed')
  const image = new Uint8Array(SIZE)
  image.set(randomBytes(3 * MiB + 777), 2 * MiB)
  const [source, copy] = [join(directory.path, 'in.img'), join(directory.path, 'out.img')]
  await writeFile(source, image)
  await runTool('nbdcopy', ['--flush', '--connections=4', source, uri])
  expect(Buffer.compare(disk.bytes, image)).toBe(0)
  const before = disk.calls.read
  await runTool('nbdcopy', ['--connections=4', uri, copy])
  expect(Buffer.compare(await readFile(copy), image)).toBe(0)
  expect(disk.calls.read - before).toBeLessThan(SIZE / (256 * KiB) / 2)
})

test('qemu-img converts in and out, maps, compares', async ctx => {
  if (!hasTool('qemu-img')) ctx.skip('qemu-img is not installed')
  const image = new Uint8Array(SIZE)
  image.set(randomBytes(MiB), 5 * MiB)
  const source = join(directory.path, 'in.img')
  await writeFile(source, image)
  await runTool('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, uri])
  expect(Buffer.compare(disk.bytes, image)).toBe(0)
  expect(await runTool('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source, uri])).toContain('identical')
  const info = JSON.parse(await runTool('qemu-img', ['info', '--output=json', uri]))
  expect(info['virtual-size']).toBe(SIZE)
  const map = JSON.parse(await runTool('qemu-img', ['map', '--output=json', '-f', 'raw', uri])) as { data: boolean; length: number }[]
  expect(map.filter(extent => extent.data).reduce((sum, extent) => sum + extent.length, 0)).toBe(MiB)
  const qcow2 = join(directory.path, 'out.qcow2')
  await runTool('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', uri, qcow2])
  expect(await runTool('qemu-img', ['compare', qcow2, source])).toContain('identical')
})

test('qemu-io writes, trims, zeroes, flushes and reads its patterns back', async ctx => {
  if (!hasTool('qemu-io')) ctx.skip('qemu-io is not installed')
  const commands = [
    'write -P 0x5a 1M 3M',
    'write -P 0xa5 -f 100k 4k',
    'discard 2M 64k',
    'write -z 3M 64k',
    'write -z -u 3200k 64k',
    'write -z -u -n 3300k 64k',
    'flush',
    'read -P 0x5a 1M 1M',
    'read -P 0 2M 64k',
    'read -P 0 3M 64k',
    'read -P 0 3300k 64k',
    'read -P 0xa5 100k 4k',
  ].flatMap(command => ['-c', command])
  const said = await runTool('qemu-io', ['-f', 'raw', '-d', 'unmap', ...commands, uri])
  expect(said).not.toMatch(/fail|Pattern verification/i)
  expect(disk.calls.trim).toBeGreaterThan(0)
  expect(disk.calls.writeZeroes).toBeGreaterThanOrEqual(3)
  expect(disk.calls.fua).toBeGreaterThan(0)
  expect(disk.bytes[MiB]).toBe(0x5a)
})

test('fio verifies what it wrote with many requests in flight', async ctx => {
  if (!hasTool('fio')) ctx.skip('fio is not installed')
  await mkdir(join(directory.path, 'fio'))
  const args = ['--name=verify', '--ioengine=nbd', `--uri=${uri}`, '--rw=randrw', '--bsrange=512-128k', '--size=12m', '--iodepth=16']
  const verify = ['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--randrepeat=1', '--output-format=json']
  const out = await runTool('fio', [...args, ...verify], join(directory.path, 'fio'))
  const { jobs } = JSON.parse(out.slice(out.indexOf('{')))
  expect(jobs[0].error).toBe(0)
  expect(jobs[0].write.total_ios).toBeGreaterThan(50)
})

test('a read-only export is seen as such, and a minimum block size', async ctx => {
  if (!hasTool('nbdinfo')) ctx.skip('nbdinfo is not installed')
  await server.close()
  await serve({ readOnly: true, blockSize: { minimum: 512, preferred: 65_536 } })
  const { exports } = JSON.parse(await runTool('nbdinfo', ['--json', '--no-content', uri]))
  expect(exports[0]).toMatchObject({ is_read_only: true, can_trim: false, can_zero: false, block_size_minimum: 512 })
})
