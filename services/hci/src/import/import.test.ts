import { execFile } from 'node:child_process'
import { mkdtemp, open, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { KiB, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { TestHci } from '../testing/test-hci.ts'

const run = promisify(execFile)
let folder: string
let hci: TestHci

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-images-'))
  hci = await TestHci.start({ importFolder: folder, guestDisksWhileOff: true })
})
afterAll(async () => {
  await hci.close()
  await rm(folder, { recursive: true, force: true })
})

/** 8 MiB + 100 bytes with some data at both ends and zeros, written and as holes, between. */
async function rawImage(name: string): Promise<{ readonly path: string; readonly content: Buffer }> {
  const content = Buffer.alloc(8 * MiB + 100)
  content.fill(0xab, 10, 100 * KiB)
  content.fill(0xcd, 5 * MiB + 3, 5 * MiB + 4)
  content.fill(0xef, content.length - 5)
  const path = join(folder, name)
  const file = await open(path, 'w')
  await file.write(content, 0, 2 * MiB, 0)
  await file.write(content, 5 * MiB, content.length - 5 * MiB, 5 * MiB)
  await file.close()
  return { path, content }
}

async function contentOf(vm: string, diskId: string): Promise<{ readonly bytes: Buffer; readonly allocated: number }> {
  const disk = await hci.guest(vm, diskId)
  const bytes = Buffer.alloc(disk.size)
  await disk.readInto(0, bytes)
  const extents = await disk.blockStatus(0, disk.size)
  await disk.close()
  return { bytes, allocated: extents.filter(e => !e.hole).reduce((sum, e) => sum + e.length, 0) }
}

async function requireQemuImg(ctx: TestContext): Promise<void> {
  await run('qemu-img', ['--version']).catch(() => ctx.skip('qemu-img is not installed'))
}

test('a raw image becomes a VM, rounded up to a sector, sparse as it was', async () => {
  const { path, content } = await rawImage('disk.raw')
  const steps: number[] = []
  const vm = await hci.hci.importImage({ name: 'raw', file: path, onProgress: (done, total) => steps.push(done / total) })
  expect(vm).toMatchObject({ name: 'raw', power: 'off', disks: [{ id: 'virtio0', size: 8 * MiB + 512, cbt: false }] })
  const { bytes, allocated } = await contentOf('raw', 'virtio0')
  expect(bytes.subarray(0, content.length).equals(content)).toBe(true)
  expect(bytes.subarray(content.length).every(b => b === 0)).toBe(true)
  expect(allocated).toBeLessThan(512 * KiB)
  expect(steps.at(-1)).toBe(1)
  expect([...steps].sort((a, b) => a - b)).toEqual(steps)
})

test('qcow2 and raw together, by the HTTP call', async ctx => {
  await requireQemuImg(ctx)
  const { path, content } = await rawImage('second.raw')
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', path, join(folder, 'first.qcow2')])
  const { uuid } = await hci.done('POST', '/varve/v1/import', {
    name: 'both',
    images: [{ path: 'first.qcow2' }, { path: 'second.raw', disk_id: 'ide0' }],
  })
  for (const disk of ['virtio0', 'ide0']) {
    expect((await contentOf(uuid, disk)).bytes.subarray(0, content.length).equals(content)).toBe(true)
  }
  expect((await readdir(hci.dataDir)).filter(name => name.startsWith('import-'))).toEqual([])
})

test('without qemu-img a qcow2 image is refused with the reason, a raw one is not', async () => {
  const { path } = await rawImage('without.raw')
  const qcow2 = join(folder, 'without.qcow2')
  await writeFile(qcow2, 'QFI\xfb', 'latin1')
  const { PATH } = process.env
  process.env.PATH = join(folder, 'nothing-here')
  try {
    await expect(hci.hci.importImage({ name: 'without', file: qcow2 })).rejects.toMatchObject({ code: 'QEMU_IMG_MISSING' })
    await hci.hci.importImage({ name: 'without', file: path })
  } finally {
    process.env.PATH = PATH
  }
  expect((await contentOf('without', 'virtio0')).allocated).toBeLessThan(512 * KiB)
})

test('a qcow2 image with a backing file is refused', async ctx => {
  await requireQemuImg(ctx)
  const { path } = await rawImage('base.raw')
  const file = join(folder, 'child.qcow2')
  await run('qemu-img', ['create', '-f', 'qcow2', '-b', path, '-F', 'raw', file])
  await expect(hci.hci.importImage({ name: 'child', file })).rejects.toMatchObject({
    code: 'IMPORT_FAILED',
    message: expect.stringContaining('backing file'),
  })
})

test('what can not be imported leaves no VM behind', async () => {
  const vms = hci.hci.datastore.listVms().length
  await writeFile(join(folder, 'empty.raw'), '')
  await writeFile(join(folder, 'bad.qcow2'), 'QFI\xfb and then nonsense', 'latin1')
  for (const file of ['absent.raw', 'empty.raw', 'bad.qcow2', '.']) {
    await expect(hci.hci.importImage({ name: 'bad', file: join(folder, file) })).rejects.toMatchObject({ code: 'IMPORT_FAILED' })
  }
  const { path } = await rawImage('taken.raw')
  await hci.hci.importImage({ name: 'taken', file: path })
  await expect(hci.hci.importImage({ name: 'taken', file: path })).rejects.toMatchObject({ code: 'NAME_TAKEN' })
  const abort = new AbortController()
  const cut = hci.hci.importImage({ name: 'cut', file: path, signal: abort.signal, onProgress: () => abort.abort() })
  await expect(cut).rejects.toThrow()
  expect(hci.hci.datastore.listVms().map(vm => vm.name)).not.toContain('cut')
  expect(hci.hci.datastore.listVms().length).toBe(vms + 1)
})

test('a half-made import is removed at the next start', async () => {
  await hci.hci.datastore.createVm({ name: 'half', config: { importing: true }, disks: [{ id: 'virtio0', size: MiB }] })
  await writeFile(join(hci.dataDir, 'import-x.raw'), 'x')
  await hci.restart()
  expect(hci.hci.datastore.listVms().map(vm => vm.name)).not.toContain('half')
  expect((await readdir(hci.dataDir)).filter(name => name.startsWith('import-'))).toEqual([])
})

test('the HTTP call stays inside its folder', async () => {
  await symlink('/etc/passwd', join(folder, 'link.raw'))
  for (const path of ['../secret', '/etc/passwd', 'link.raw', '.', '']) {
    const answer = await hci.call('POST', '/varve/v1/import', { name: 'escape', path })
    expect([path, answer.status]).toEqual([path, 400])
  }
  expect((await hci.call('POST', '/varve/v1/import', { name: 'escape' })).status).toBe(400)
})

test('a sparse file of 1 TiB is imported without reading its holes', async ctx => {
  await requireQemuImg(ctx)
  const path = join(folder, 'huge.raw')
  await writeFile(path, 'begin')
  await truncate(path, 2 ** 40)
  const before = performance.now()
  await hci.hci.importImage({ name: 'huge', file: path })
  expect(performance.now() - before).toBeLessThan(10_000)
  const disk = await hci.guest('huge')
  const text = Buffer.alloc(6)
  await disk.readInto(0, text)
  expect(text.toString('latin1')).toBe('begin\0')
  await disk.close()
})
