import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Datastore } from './datastore.ts'
import { openDatastore } from './open-datastore.ts'

const K = 65536
let folder: string
let store: Datastore

beforeEach(async () => {
  folder = fs.mkdtempSync(`${os.tmpdir()}/varve-lifecycle-`)
  store = await openDatastore(folder)
})
afterEach(async () => {
  await store.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

const create = (size = 8 * K, id?: string) =>
  store.createVm({ name: 'a', config: { cpu: 2 }, disks: [{ id: 'ide0', size }], ...(id === undefined ? {} : { id }) })

test('one process has the folder; the lock of a dead one is taken over', async () => {
  await expect(openDatastore(folder)).rejects.toMatchObject({ code: 'DATASTORE_LOCKED' })
  await store.close()
  for (const lock of ['{"pid":4194304,"started":"1","bootId":"x"}', `{"pid":${process.pid},"started":"1","bootId":"x"}`, 'garbage', '']) {
    fs.writeFileSync(`${folder}/datastore.lock`, lock)
    store = await openDatastore(folder)
    await store.close()
    expect(fs.existsSync(`${folder}/datastore.lock`)).toBe(false)
  }
})

test('ids, sizes and ranges that can not be are refused', async () => {
  for (const size of [0, -512, 1, 513, 2 ** 47 + 512, Number.NaN, Number.POSITIVE_INFINITY]) {
    await expect(create(size), String(size)).rejects.toMatchObject({ code: 'DISK_SIZE_INVALID' })
  }
  for (const id of ['', '.', '..', '../x', 'a/b', '.hidden', 'x'.repeat(200), 'a\0b']) {
    await expect(create(K, id), id).rejects.toMatchObject({ code: 'ID_INVALID' })
  }
  const { id } = await create(8 * K, 'vm-1')
  await expect(create(8 * K, 'vm-1')).rejects.toMatchObject({ code: 'NAME_TAKEN' })
  await expect(store.addDisk(id, { id: 'ide0', size: K })).rejects.toMatchObject({ code: 'NAME_TAKEN' })
  await expect(store.openDisk(id, 'ide7')).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  expect(() => store.getVm('nope')).toThrowError(expect.objectContaining({ code: 'VM_NOT_FOUND' }))
  const disk = await store.openDisk(id, 'ide0')
  await expect(disk.write(8 * K - 1, Buffer.alloc(2), false)).rejects.toMatchObject({ context: { errno: 'EINVAL' } })
  await store.createSnapshot(id, { name: 's' })
  await expect(store.createSnapshot(id, { name: 's' })).rejects.toMatchObject({ code: 'NAME_TAKEN' })
  await store.deleteVm(id)
  await expect(disk.read(0, Buffer.alloc(1))).rejects.toMatchObject({ context: { errno: 'ESHUTDOWN' } })
  expect(fs.readdirSync(folder).sort()).toEqual(['datastore.json', 'datastore.lock'])
})

test('a disk added later is in later snapshots only, and has its own tracking', async () => {
  const { id } = await create()
  await store.setCbt(id, 'enable')
  const before = await store.createSnapshot(id, { name: 'before' })
  await store.addDisk(id, { id: 'virtio1', size: 4 * K })
  expect(store.getVm(id).disks.map(disk => disk.cbt)).toEqual([true, false])
  await (await store.openDisk(id, 'virtio1')).write(K, Buffer.alloc(K, 1), false)
  await store.setCbt(id, 'enable')
  const after = await store.createSnapshot(id, { name: 'after' })
  const query = { vmId: id, diskId: 'virtio1', startOffset: 0, maxAreas: 10 }
  await expect(store.changedAreas({ ...query, snapshotId: before.id, checkpointId: 0n })).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  await expect(store.changedAreas({ ...query, snapshotId: after.id, checkpointId: BigInt(before.checkpointId) })).rejects.toMatchObject({
    code: 'CBT_EXPIRED',
  })
  const { areas } = await store.changedAreas({ ...query, snapshotId: after.id, checkpointId: 0n })
  expect(areas).toEqual([{ start: K, length: K }])
  await expect(store.openSnapshotDisk(id, before.id, 'virtio1')).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  await store.deleteSnapshot(id, before.id)
  await store.deleteSnapshot(id, after.id)
})

test('a snapshot being deleted can not be opened, open views fail, an aborted merge goes on later', async () => {
  const { id } = await create(64 * K)
  const disk = await store.openDisk(id, 'ide0')
  const snapshot = await store.createSnapshot(id, { name: 's' })
  const view = await store.openSnapshotDisk(id, snapshot.id, 'ide0')
  await disk.write(0, Buffer.alloc(64 * K, 5), false)
  await expect(view.write(0, Buffer.alloc(1), false)).rejects.toMatchObject({ context: { errno: 'EPERM' } })
  const abort = new AbortController()
  abort.abort(new Error('enough'))
  await expect(store.deleteSnapshot(id, snapshot.id, { signal: abort.signal })).rejects.toThrow('enough')
  await view.read(0, Buffer.alloc(1))
  const later = new AbortController()
  const fractions: number[] = []
  const deleting = store.deleteSnapshot(id, snapshot.id, { signal: later.signal, onProgress: f => fractions.push(f) })
  await expect.poll(() => store.getVm(id).snapshots[0]?.deleting ?? true).toBe(true)
  await expect(store.openSnapshotDisk(id, snapshot.id, 'ide0')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
  await expect(view.read(0, Buffer.alloc(1))).rejects.toMatchObject({ context: { errno: 'ESHUTDOWN' } })
  // Twice at once is once.
  await Promise.all([deleting, store.deleteSnapshot(id, snapshot.id)])
  expect(fractions.at(-1)).toBe(1)
  expect(store.getVm(id).snapshots).toEqual([])
  const bytes = Buffer.alloc(64 * K)
  await disk.read(0, bytes)
  expect(bytes.equals(Buffer.alloc(64 * K, 5))).toBe(true)
})

test('what a crash left is cleaned up at the next start, and only that', async () => {
  const { id } = await create()
  await store.close()
  fs.mkdirSync(`${folder}/half`)
  fs.writeFileSync(`${folder}/half/.creating`, '')
  fs.mkdirSync(`${folder}/.deleted-1`)
  fs.mkdirSync(`${folder}/mine`)
  for (const name of ['ide0-gone.overlay', 'ide0-gone.overlay.map', 'ide0.img.bitmap.next', 'ide9.img', 'vm.json.new', 'notes.txt']) {
    fs.writeFileSync(`${folder}/${id}/${name}`, '')
  }
  store = await openDatastore(folder)
  expect(fs.readdirSync(folder).sort()).toEqual(['datastore.json', 'datastore.lock', id, 'mine'].sort())
  expect(fs.readdirSync(`${folder}/${id}`).sort()).toEqual(['ide0.img', 'ide0.img.map', 'notes.txt', 'vm.json'])
})

test('trim gives space back, and without holes the raw file is true all the same', async () => {
  for (const punch of [undefined, async () => false]) {
    await store.close()
    store = await openDatastore(folder, punch === undefined ? {} : { punch })
    const { id } = await create(64 * K)
    const disk = await store.openDisk(id, 'ide0')
    await disk.write(0, Buffer.alloc(64 * K, 5), true)
    await disk.trim(K, 62 * K, true)
    const raw = fs.readFileSync(`${folder}/${id}/ide0.img`)
    expect(raw.equals(Buffer.concat([Buffer.alloc(K, 5), Buffer.alloc(62 * K), Buffer.alloc(K, 5)]))).toBe(true)
    if (punch === undefined && process.platform === 'linux')
      expect(fs.statSync(`${folder}/${id}/ide0.img`).blocks * 512).toBeLessThan(8 * K)
    const status = await disk.blockStatus(0, 64 * K)
    expect(status.map(({ length, hole }) => [length / K, hole])).toEqual([
      [1, false],
      [62, true],
      [1, false],
    ])
  }
})

test('a full file system: ENOSPC for the guest, nothing corrupt, and all goes on when there is space', async ctx => {
  const mount = fs.mkdtempSync(`${os.tmpdir()}/varve-full-`)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', mount], { stdio: 'pipe' })
  } catch {
    fs.rmdirSync(mount)
    return ctx.skip('a tmpfs can not be mounted here')
  }
  try {
    const small = await openDatastore(`${mount}/store`)
    const { id } = await small.createVm({ name: 'full', config: {}, disks: [{ id: 'ide0', size: 64 * K }] })
    await small.setCbt(id, 'enable')
    const disk = await small.openDisk(id, 'ide0')
    const model = Buffer.alloc(64 * K)
    const write = async (grain: number, value: number): Promise<boolean> => {
      try {
        await disk.write(grain * K + 100, Buffer.alloc(1000, value), false)
        model.fill(value, grain * K + 100, grain * K + 1100)
        return true
      } catch (error) {
        expect(error).toMatchObject({ context: { errno: 'ENOSPC' }, cause: { code: 'DATASTORE_FULL' } })
        return false
      }
    }
    for (let g = 0; g < 20; g++) await write(g, 1)
    const first = await small.createSnapshot(id, { name: 'first' })
    const before = Buffer.from(model)
    let full = 0
    for (let g = 0; g < 64; g++) if (!(await write(g, 2))) full += 1
    expect(full).toBeGreaterThan(5)
    await expect(small.createSnapshot(id, { name: 'no room' })).rejects.toMatchObject({ code: 'DATASTORE_FULL' })
    const same = async (): Promise<void> => {
      const bytes = Buffer.alloc(64 * K)
      await disk.read(0, bytes)
      for (let g = 0; g < 64; g++) {
        // A refused write may be there in part; what was acknowledged is there.
        if (model[g * K + 100] !== 2) model.copy(bytes, g * K + 100, g * K + 100, g * K + 1100)
      }
      expect(bytes.equals(model)).toBe(true)
      await (await small.openSnapshotDisk(id, first.id, 'ide0')).read(0, bytes)
      expect(bytes.equals(before)).toBe(true)
    }
    await same()
    execFileSync('mount', ['-o', 'remount,size=30m', mount])
    for (let g = 0; g < 64; g++) expect(await write(g, 2)).toBe(true)
    const second = await small.createSnapshot(id, { name: 'room' })
    await same()
    const query = { vmId: id, diskId: 'ide0', snapshotId: second.id, startOffset: 0, maxAreas: 10 }
    const { areas } = await small.changedAreas({ ...query, checkpointId: BigInt(first.checkpointId) })
    expect(areas).toEqual([{ start: 0, length: 64 * K }])
    await small.deleteSnapshot(id, first.id)
    await small.close()
  } finally {
    execFileSync('umount', [mount])
    fs.rmdirSync(mount)
  }
})

test('a disk over several files shrinks and grows again without old bytes coming back', async () => {
  const TiB = 2 ** 40
  const { id } = await create(20 * TiB)
  const files = () => fs.readdirSync(`${folder}/${id}`).filter(name => /img(\.\d)?$/.test(name))
  expect(files()).toEqual(['ide0.img', 'ide0.img.1', 'ide0.img.2'])
  const write = async (offset: number) => await (await store.openDisk(id, 'ide0')).write(offset, Buffer.alloc(8192, 7), false)
  const read = async (offset: number) => {
    const bytes = Buffer.alloc(8192)
    await (await store.openDisk(id, 'ide0')).read(offset, bytes)
    return bytes
  }
  // Over the border of two files, and in the last one.
  for (const offset of [8 * TiB - 4096, 20 * TiB - 8192]) await write(offset)
  expect((await read(8 * TiB - 4096)).equals(Buffer.alloc(8192, 7))).toBe(true)
  await store.resizeDisk(id, 'ide0', TiB)
  expect(files()).toEqual(['ide0.img'])
  await store.resizeDisk(id, 'ide0', 20 * TiB)
  for (const offset of [8 * TiB - 4096, 20 * TiB - 8192]) expect((await read(offset)).equals(Buffer.alloc(8192))).toBe(true)
})
