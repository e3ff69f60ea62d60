import { GiB, KiB, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'

/** Two disks of one VM, one of them with a size that is no multiple of a block. */
const DISKS = [
  { id: 'virtio0', size: 64 * MiB },
  { id: 'virtio1', size: 32 * MiB + 192 * KiB },
]

let system: System
let vmId: string
let platformVmId: string
let pointId: string
let hashes: string[]

const write = async (diskId: string, offset: number, bytes: Uint8Array): Promise<void> => {
  const disk = await system.guest(platformVmId, diskId)
  await disk.write(offset, bytes)
  await disk.flush()
  await disk.close()
}
const currentHashes = async (id = platformVmId): Promise<string[]> => {
  const found: string[] = []
  for (const { id: diskId } of DISKS) {
    const disk = await system.guest(id, diskId)
    found.push(await exportHash(disk))
    await disk.close()
  }
  return found
}

beforeAll(async () => {
  system = await startSystem()
  ;({ vmId, platformVmId } = await system.createVm('db-1', DISKS))
  await write('virtio0', 0, noise('a', 20 * MiB))
  await write('virtio1', 8 * MiB, noise('b', 10 * MiB))
  await write('virtio1', DISKS[1]!.size - 100 * KiB, noise('tail', 100 * KiB))
  const full = await system.backup(vmId)
  expect(full, JSON.stringify(full)).toMatchObject({ state: 'succeeded' })
  expect(full.images.map(image => [image.kind, image.reason])).toEqual([
    ['full', 'first'],
    ['full', 'first'],
  ])
  pointId = full.restorePointId!
  hashes = await currentHashes()
}, 60_000)

afterAll(async () => {
  await system?.close()
})

test('an incremental reads only the blocks that CBT named, and stores no block that is equal', async () => {
  // One granule with new bytes, and one granule rewritten with the bytes it had.
  await write('virtio0', 4 * MiB + 64 * KiB, noise('new', 64 * KiB))
  const same = Buffer.alloc(64 * KiB)
  const disk = await system.guest(platformVmId, 'virtio0')
  await disk.readInto(10 * MiB, same)
  await disk.close()
  await write('virtio0', 10 * MiB, same)

  const run = await system.backup(vmId)
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  expect(run.images.map(image => [image.diskId, image.kind])).toEqual([
    ['virtio0', 'incremental'],
    ['virtio1', 'incremental'],
  ])
  expect(run.totals.planned).toBe(128 * KiB)
  // Two blocks of 256 KiB hold the two granules; nothing else is read.
  expect(run.totals.read).toBe(512 * KiB)
  expect(run.totals.unchanged).toBe(256 * KiB)
  expect(run.totals.written).toBeGreaterThan(0)
  expect(run.totals.written).toBeLessThan(300 * KiB)
})

test('a restore over a running VM is refused with a clear code, and the lease is not left behind', async () => {
  const run = await system.restore(pointId, { target: 'original' })
  expect(run).toMatchObject({ state: 'failed', reason: 'VM_NOT_OFF' })
})

test('a differential restore writes back only what changed since the point', async () => {
  await write('virtio1', 1 * MiB, noise('damage', 300 * KiB))
  await system.driver.power(platformVmId, 'off')
  const run = await system.restore(pointId, { target: 'original', differential: true, powerOn: true })
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  // Since the point: one block of virtio0 with new bytes, one with equal ones; 300 KiB over at most 3 blocks of virtio1 (zeroes in the point).
  expect(run.totals.written + run.totals.zero).toBeLessThanOrEqual(5 * 256 * KiB)
  expect(run.totals.written).toBeLessThanOrEqual(2 * 256 * KiB)
  expect(await currentHashes()).toEqual(hashes)
})

test('a full restore to the original VM brings every byte back, also where the point has holes', async () => {
  await write('virtio0', 30 * MiB, noise('where there was nothing', 2 * MiB))
  await write('virtio1', 0, noise('head', 1 * MiB))
  await system.driver.power(platformVmId, 'off')
  const run = await system.restore(pointId, { target: 'original', powerOn: true })
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  expect(await currentHashes()).toEqual(hashes)
})

test('after restores the next incremental is right', async () => {
  await write('virtio0', 63 * MiB, noise('after', 128 * KiB))
  const now = await currentHashes()
  const run = await system.backup(vmId)
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  const restore = await system.restore(run.restorePointId!, { target: 'new-vm', name: 'db-1-copy', powerOn: true })
  expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
  expect(await currentHashes(restore.targetPlatformVmId!)).toEqual(now)
})

test('snapshots and leases are gone after all of it', async () => {
  for await (const vm of system.driver.listVms()) {
    expect(await system.driver.listSnapshots(vm.id, '')).toEqual([])
    const lease = await system.driver.createLease(vm.id, 'backup', 60)
    await system.driver.releaseLease(lease.id)
  }
})

test('a 1 TiB disk with 100 MB changed is backed up incrementally without cost for its size', async () => {
  const big = await system.createVm('big-1', [{ id: 'virtio0', size: 1024 * GiB }])
  const disk = await system.guest(big.platformVmId, 'virtio0')
  await disk.write(0, noise('head', 8 * MiB))
  await system.backup(big.vmId)
  for (let i = 0; i < 100; i += 1) await disk.write(i * 10 * GiB, noise(`piece ${i}`, 256 * KiB))
  const run = await system.backup(big.vmId)
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  expect(run.images[0]).toMatchObject({ kind: 'incremental' })
  expect(run.totals.read).toBe(100 * 256 * KiB)
})
