import fs from 'node:fs'
import os from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Datastore } from './datastore.ts'
import { openDatastore } from './open-datastore.ts'

const K64 = 65536
let folder: string
let store: Datastore

beforeEach(async () => {
  folder = fs.mkdtempSync(`${os.tmpdir()}/varve-datastore-`)
  store = await openDatastore(folder)
})
afterEach(async () => {
  await store.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

async function bytes(
  backend: { read(offset: number, target: Uint8Array): Promise<void> },
  offset: number,
  length: number,
): Promise<Buffer> {
  const target = Buffer.alloc(length, 0xee)
  await backend.read(offset, target)
  return target
}

test('a disk keeps what is written, through snapshots, merges and a restart', async () => {
  const { id } = await store.createVm({ name: 'a', config: {}, disks: [{ id: 'ide0', size: 10 * K64 + 512 }] })
  await store.setCbt(id, 'enable')
  const disk = await store.openDisk(id, 'ide0')
  await disk.write(100, Buffer.alloc(200, 1), false)
  const first = await store.createSnapshot(id, { name: 's1' })
  expect(first.checkpointId).toBe('4294967297')
  await disk.write(150, Buffer.alloc(K64, 2), false)
  await disk.write(10 * K64, Buffer.alloc(512, 3), true)
  const view = await store.openSnapshotDisk(id, first.id, 'ide0')
  expect((await bytes(view, 0, 300)).equals(Buffer.concat([Buffer.alloc(100), Buffer.alloc(200, 1)]))).toBe(true)
  const areas = async (snapshotId: string, checkpointId: bigint) =>
    (await store.changedAreas({ vmId: id, diskId: 'ide0', snapshotId, checkpointId, startOffset: 0, maxAreas: 100 })).areas
  expect(await areas(first.id, 0n)).toEqual([{ start: 0, length: K64 }])
  const second = await store.createSnapshot(id, { name: 's2' })
  expect(await areas(second.id, BigInt(first.checkpointId))).toEqual([
    { start: 0, length: 2 * K64 },
    { start: 10 * K64, length: 512 },
  ])
  await disk.trim(K64, K64, false)
  const expected = await bytes(disk, 0, disk.size)
  const secondView = await bytes(await store.openSnapshotDisk(id, second.id, 'ide0'), 0, disk.size)
  await store.deleteSnapshot(id, first.id)
  expect((await bytes(disk, 0, disk.size)).equals(expected)).toBe(true)
  expect((await bytes(await store.openSnapshotDisk(id, second.id, 'ide0'), 0, disk.size)).equals(secondView)).toBe(true)
  await store.deleteSnapshot(id, second.id)
  expect((await bytes(disk, 0, disk.size)).equals(expected)).toBe(true)
  expect(fs.readdirSync(`${folder}/${id}`).sort()).toEqual([
    'ide0.img',
    'ide0.img.bitmap',
    'ide0.img.cbt.version',
    'ide0.img.map',
    'vm.json',
  ])
  await store.close()
  store = await openDatastore(folder)
  expect((await bytes(await store.openDisk(id, 'ide0'), 0, disk.size)).equals(expected)).toBe(true)
  expect(fs.readFileSync(`${folder}/${id}/ide0.img`).equals(expected)).toBe(true)
  const third = await store.createSnapshot(id, { name: 's3' })
  expect(await areas(third.id, BigInt(second.checkpointId))).toEqual([{ start: K64, length: K64 }])
})
