import fs from 'node:fs'
import os from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Datastore, SnapshotRecord } from './datastore.ts'
import { openDatastore } from './open-datastore.ts'

const K = 65536
const SIZE = 40 * K
const EXPIRED = { code: 'CBT_EXPIRED', message: 'The VM CBT has expired. Please reset it.' }

let folder: string
let store: Datastore
let vm: string
let first: SnapshotRecord
let second: SnapshotRecord

beforeEach(async () => {
  folder = fs.mkdtempSync(`${os.tmpdir()}/varve-damage-`)
  store = await openDatastore(folder)
  vm = (await store.createVm({ name: 'a', config: {}, disks: [{ id: 'ide0', size: SIZE }] })).id
  await store.setCbt(vm, 'enable')
  const disk = await store.openDisk(vm, 'ide0')
  await disk.write(3 * K, Buffer.alloc(10 * K, 1), false)
  first = await store.createSnapshot(vm, { name: 's1' })
  await disk.write(5 * K, Buffer.alloc(K, 2), false)
  second = await store.createSnapshot(vm, { name: 's2' })
  await disk.write(9 * K, Buffer.alloc(K, 3), false)
})
afterEach(async () => {
  await store.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

const path = (name: string): string => `${folder}/${vm}/${name}`
const areas = async (checkpoint = first.checkpointId, snapshot = second.id) =>
  (
    await store.changedAreas({
      vmId: vm,
      diskId: 'ide0',
      snapshotId: snapshot,
      checkpointId: BigInt(checkpoint),
      startOffset: 0,
      maxAreas: 100,
    })
  ).areas
const reopen = async (bootId?: string): Promise<void> => {
  await store.close()
  store = await openDatastore(folder, bootId === undefined ? {} : { bootId })
}
const flip = (name: string, at: number): void => {
  const fd = fs.openSync(path(name), 'r+')
  const byte = Buffer.alloc(1)
  fs.readSync(fd, byte, 0, 1, at)
  byte[0]! ^= 0x21
  fs.writeSync(fd, byte, 0, 1, at)
  fs.closeSync(fd)
}
/** Offsets of the bytes of a file that are not zero. */
const written = (name: string): number[] => [...fs.readFileSync(path(name))].flatMap((byte, i) => (byte === 0 ? [] : [i]))

test('any changed byte of the CBT file that an answer rests on expires it, at once and for good', async () => {
  expect(await areas()).toEqual([{ start: 5 * K, length: K }])
  const at = written('ide0.img.cbt.version')
  const sound = fs.readFileSync(path('ide0.img.cbt.version'))
  expect(at.length).toBeGreaterThan(40)
  for (const where of [4, 17, 60, 4090, 4096, 4101, ...Array.from({ length: 20 }, () => at[Math.floor(Math.random() * at.length)]!)]) {
    flip('ide0.img.cbt.version', where)
    await expect(areas('0'), `byte ${where}`).rejects.toMatchObject(EXPIRED)
    expect(store.getVm(vm).disks[0]).toMatchObject({ cbt: true })
    await expect(areas()).rejects.toMatchObject(EXPIRED)
    await reopen()
    await expect(areas()).rejects.toMatchObject(EXPIRED)
    expect(store.getVm(vm).disks[0]).toMatchObject({ cbt: true, cbtExpired: true })
    // Put the datastore back as it was.
    await store.close()
    fs.writeFileSync(path('ide0.img.cbt.version'), sound)
    const record = JSON.parse(fs.readFileSync(path('vm.json'), 'utf8'))
    record.disks[0].cbtExpired = false
    fs.writeFileSync(path('vm.json'), JSON.stringify(record))
    store = await openDatastore(folder)
    expect(await areas(), `byte ${where} put back`).toEqual([{ start: 5 * K, length: K }])
  }
})

test('a CBT file that is cut, empty, gone or of another disk expires; a reset helps; the guest never notices', async () => {
  const disk = async () => await store.openDisk(vm, 'ide0')
  const damages: (() => void)[] = [
    () => fs.truncateSync(path('ide0.img.cbt.version'), 4096),
    () => fs.truncateSync(path('ide0.img.cbt.version'), 100),
    () => fs.truncateSync(path('ide0.img.cbt.version'), 0),
    () => fs.rmSync(path('ide0.img.cbt.version')),
    () => fs.rmSync(path('ide0.img.bitmap')),
    () => fs.truncateSync(path('ide0.img.bitmap'), 50),
    () => fs.writeFileSync(path('ide0.img.bitmap'), Buffer.alloc(9000, 7)),
  ]
  for (const [i, damage] of damages.entries()) {
    await store.close()
    damage()
    store = await openDatastore(folder)
    await expect(areas(), `damage ${i}`).rejects.toMatchObject(EXPIRED)
    await (await disk()).write(7 * K, Buffer.alloc(10, 9), true)
    const during = await store.createSnapshot(vm, { name: `d${i}` })
    await expect(areas('0', during.id)).rejects.toMatchObject(EXPIRED)
    await store.setCbt(vm, 'reset')
    first = await store.createSnapshot(vm, { name: `f${i}` })
    await (await disk()).write(5 * K, Buffer.alloc(10, 9), true)
    second = await store.createSnapshot(vm, { name: `g${i}` })
    expect(await areas()).toEqual([{ start: 5 * K, length: K }])
    expect(await areas('0')).toEqual([{ start: 3 * K, length: 10 * K }])
  }
})

test('any changed byte of the bitmap file shows at the next start', async () => {
  await store.close()
  const sound = fs.readFileSync(path('ide0.img.bitmap'))
  const record = fs.readFileSync(path('vm.json'))
  for (const where of written('ide0.img.bitmap')) {
    fs.writeFileSync(path('ide0.img.bitmap'), sound)
    fs.writeFileSync(path('vm.json'), record)
    flip('ide0.img.bitmap', where)
    store = await openDatastore(folder)
    await expect(areas(), `byte ${where}`).rejects.toMatchObject(EXPIRED)
    await store.close()
  }
  store = await openDatastore(folder)
})

test('a power cut expires all CBT; an end in good order, or a kill under the same boot, does not', async () => {
  await reopen()
  expect(await areas()).toHaveLength(1)
  await store.close()
  const state = fs.readFileSync(`${folder}/datastore.json`, 'utf8')
  fs.writeFileSync(`${folder}/datastore.json`, state.replace('true', 'false'))
  store = await openDatastore(folder)
  expect(await areas()).toHaveLength(1)
  await store.close()
  fs.writeFileSync(`${folder}/datastore.json`, state.replace('true', 'false'))
  store = await openDatastore(folder, { bootId: 'another' })
  await expect(areas()).rejects.toMatchObject(EXPIRED)
})

test('a power cut is remembered for a VM that was damaged then', async () => {
  await store.close()
  const state = fs.readFileSync(`${folder}/datastore.json`, 'utf8')
  fs.writeFileSync(`${folder}/datastore.json`, state.replace('true', 'false'))
  fs.renameSync(path('ide0.img'), path('kept'))
  store = await openDatastore(folder, { bootId: 'another' })
  await expect(store.openDisk(vm, 'ide0')).rejects.toMatchObject({ code: 'DATASTORE_DAMAGED' })
  await store.close()
  fs.renameSync(path('kept'), path('ide0.img'))
  store = await openDatastore(folder, { bootId: 'another' })
  await expect(areas()).rejects.toMatchObject(EXPIRED)
})

test('a base that is gone or cut is damage, never an empty disk', async () => {
  await store.close()
  const sound = fs.readFileSync(path('ide0.img'))
  for (const damage of [() => fs.truncateSync(path('ide0.img'), SIZE - 1), () => fs.rmSync(path('ide0.img'))]) {
    damage()
    store = await openDatastore(folder)
    await expect(store.openDisk(vm, 'ide0')).rejects.toMatchObject({ code: 'DATASTORE_DAMAGED' })
    await store.close()
    fs.writeFileSync(path('ide0.img'), sound)
  }
  store = await openDatastore(folder)
  expect(await areas()).toHaveLength(1)
})

test('a damaged grain map or vm.json takes its VM out, not the others; nothing is removed', async () => {
  const other = await store.createVm({ name: 'b', config: {}, disks: [{ id: 'ide0', size: K }] })
  await store.close()
  const files = fs.readdirSync(`${folder}/${vm}`).sort()
  const map = fs.readFileSync(path('ide0.img.map'))
  flip('ide0.img.map', 12)
  store = await openDatastore(folder)
  expect(() => store.getVm(vm)).toThrowError(expect.objectContaining({ code: 'DATASTORE_DAMAGED' }))
  expect(store.listVms().map(({ id }) => id)).toEqual([other.id])
  await store.close()
  fs.writeFileSync(path('ide0.img.map'), map)
  const record = fs.readFileSync(path('vm.json'))
  for (const text of ['', '{', '[]', '{"format":2}', record.toString().replace('"size": 2621440', '"size": 2621441')]) {
    fs.writeFileSync(path('vm.json'), text)
    store = await openDatastore(folder)
    await expect(store.openDisk(vm, 'ide0')).rejects.toMatchObject({ code: 'DATASTORE_DAMAGED' })
    await store.close()
  }
  fs.writeFileSync(path('vm.json'), record)
  store = await openDatastore(folder)
  expect(await areas()).toHaveLength(1)
  expect(fs.readdirSync(`${folder}/${vm}`).sort()).toEqual(files)
})

test('damage inside a grain map answers EIO, not wrong bytes', async () => {
  await store.close()
  const at = written('ide0.img.map').find(offset => offset >= 8192)!
  flip('ide0.img.map', at)
  store = await openDatastore(folder)
  const disk = await store.openDisk(vm, 'ide0')
  await expect(disk.read(3 * K, Buffer.alloc(10))).rejects.toMatchObject({
    context: { errno: 'EIO' },
    cause: { code: 'DATASTORE_DAMAGED' },
  })
})

test('revert, resize, reset and disable: what the answers say after each', async () => {
  await expect(store.revertSnapshot(vm, 'nope')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
  await store.updateVm(vm, { power: 'on' })
  await expect(store.revertSnapshot(vm, first.id)).rejects.toMatchObject({ code: 'VM_NOT_OFF' })
  await store.updateVm(vm, { power: 'off' })
  await expect(store.resizeDisk(vm, 'ide0', SIZE * 2)).rejects.toMatchObject({ code: 'HAS_SNAPSHOTS' })
  await store.revertSnapshot(vm, first.id)
  await expect(areas('0', first.id)).rejects.toMatchObject(EXPIRED)
  await store.deleteSnapshot(vm, first.id)
  await store.setCbt(vm, 'reset')
  await store.resizeDisk(vm, 'ide0', SIZE * 2)
  await store.resizeDisk(vm, 'ide0', 4 * K + 512)
  await store.resizeDisk(vm, 'ide0', SIZE)
  const disk = await store.openDisk(vm, 'ide0')
  const bytes = Buffer.alloc(SIZE)
  await disk.read(0, bytes)
  expect(bytes.equals(Buffer.concat([Buffer.alloc(3 * K), Buffer.alloc(K + 512, 1), Buffer.alloc(SIZE - 4 * K - 512)]))).toBe(true)
  second = await store.createSnapshot(vm, { name: 'after' })
  await expect(areas('0')).rejects.toMatchObject(EXPIRED)
  await store.setCbt(vm, 'reset')
  await expect(areas('0')).rejects.toMatchObject(EXPIRED)
  second = await store.createSnapshot(vm, { name: 'after2' })
  expect(await areas('0')).toEqual([{ start: 3 * K, length: 2 * K }])
  await store.setCbt(vm, 'disable')
  await expect(areas('0')).rejects.toMatchObject({ code: 'CBT_DISABLED' })
})
