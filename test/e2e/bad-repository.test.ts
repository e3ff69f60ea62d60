import { chmod, mkdtemp, open, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'
import { runTool } from '../support/tools.ts'

let system: System
let vmId: string
let platformVmId: string
let pointId: string
const SIZE = 16 * MiB

/** Every object under `packs/` or `maps/`, oldest first. */
async function objects(kind: string): Promise<string[]> {
  const root = join(system.folder, 'varve', 'repository', kind)
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath ?? entry.path, entry.name))
  const times = new Map(await Promise.all(files.map(async file => [file, (await stat(file)).mtimeMs] as const)))
  return files.sort((a, b) => times.get(a)! - times.get(b)!)
}

async function flipBit(file: string, at: number): Promise<() => Promise<void>> {
  const before = await readFile(file)
  const { atime, mtime } = await stat(file)
  await chmod(file, 0o600)
  const handle = await open(file, 'r+')
  await handle.write(Buffer.from([before[at]! ^ 0x10]), 0, 1, at)
  await handle.close()
  // The times stay, so that "newest" means what was written last by a run.
  await utimes(file, atime, mtime)
  return async () => {
    await writeFile(file, before)
    await utimes(file, atime, mtime)
  }
}

beforeAll(async () => {
  system = await startSystem()
  ;({ vmId, platformVmId } = await system.createVm('app-1', [{ id: 'virtio0', size: SIZE }]))
  const disk = await system.guest(platformVmId, 'virtio0')
  await disk.write(0, noise('data', 8 * MiB))
  await disk.close()
  const run = await system.backup(vmId)
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  pointId = run.restorePointId!
}, 60_000)

afterAll(async () => {
  await system?.close()
})

const vms = async (): Promise<string[]> => {
  const names: string[] = []
  for await (const vm of system.driver.listVms()) names.push(vm.name)
  return names
}

test('a flipped bit in a pack fails the restore with BLOCK_DAMAGED, and the half-made VM is removed', async () => {
  const [pack] = await objects('packs')
  const mend = await flipBit(pack!, 1 * MiB)
  try {
    const run = await system.restore(pointId, { target: 'new-vm', name: 'half-made' })
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'failed', reason: 'BLOCK_DAMAGED' })
    expect(await vms()).not.toContain('half-made')
  } finally {
    await mend()
  }
})

test('with onDamage continue everything else is restored and the damage is said', async () => {
  const [pack] = await objects('packs')
  const mend = await flipBit(pack!, 1 * MiB)
  try {
    const run = await system.restore(pointId, { target: 'new-vm', name: 'with-a-hole', powerOn: true, onDamage: 'continue' })
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded-with-damage' })
    expect(run.notes.join('\n')).toContain('virtio0')
    const disk = await system.guest(run.targetPlatformVmId!, 'virtio0')
    const restored = Buffer.alloc(8 * MiB)
    await disk.readInto(0, restored)
    const truth = noise('data', 8 * MiB)
    let damaged = 0
    for (let offset = 0; offset < restored.length; offset += 256 * 1024) {
      if (!restored.subarray(offset, offset + 256 * 1024).equals(truth.subarray(offset, offset + 256 * 1024))) damaged += 1
    }
    expect(damaged).toBe(1)
  } finally {
    await mend()
  }
})

const guestWrites = async (seed: string): Promise<void> => {
  const disk = await system.guest(platformVmId, 'virtio0')
  await disk.write(2 * MiB, noise(seed, 64 * 1024))
  await disk.close()
}

/** What the disk shows now, for comparison after a restore. */
const liveHash = async (id: string): Promise<string> => {
  const disk = await system.guest(id, 'virtio0')
  try {
    return await exportHash(disk)
  } finally {
    await disk.close()
  }
}

test('a flipped bit in the block map: a restore fails with MAP_DAMAGED', async () => {
  const [map] = await objects('maps')
  let mend: (() => Promise<void>) | undefined
  await system.restartVarve(async () => {
    mend = await flipBit(map!, 200)
  })
  const restore = await system.restore(pointId, { target: 'new-vm', name: 'no-map' })
  expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'failed', reason: 'MAP_DAMAGED' })
  expect(await vms()).not.toContain('no-map')
  await mend?.()
})

test.each(['maps', 'images'])(
  'a flipped bit under %s of the parent: the next point is whole all the same, and the run says so',
  async kind => {
    await guestWrites(kind)
    const damaged = (await objects(kind)).at(-1)
    let mend: (() => Promise<void>) | undefined
    await system.restartVarve(async () => {
      mend = await flipBit(damaged!, kind === 'maps' ? 200 : 150)
    })
    const run = await system.backup(vmId)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
    if (kind === 'maps') {
      // Only the damaged page is read again, all of it.
      expect(run.images[0]).toMatchObject({ kind: 'incremental', reason: null })
      expect(run.notes.join('\n')).toContain('MAP_DAMAGED')
      expect(run.totals.read).toBe(8 * MiB)
    } else expect(run.images[0]).toMatchObject({ kind: 'full', reason: 'parent-missing' })
    const restore = await system.restore(run.restorePointId!, { target: 'new-vm', name: `after-${kind}`, powerOn: true })
    expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
    expect(await liveHash(restore.targetPlatformVmId!)).toBe(await liveHash(platformVmId))
    await mend?.()
  },
)

test('a repository that is full: the run fails with STORE_FULL, snapshot and lease are gone, nothing is offered', async ctx => {
  const mount = await mkdtemp(join(tmpdir(), 'varve-full-'))
  try {
    await runTool('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', mount])
  } catch (error) {
    await rm(mount, { recursive: true })
    return ctx.skip(`a small tmpfs cannot be mounted here: ${(error as Error).message.split('\n')[0]}`)
  }
  let small: System | undefined
  try {
    small = await startSystem({ standalone: { repositoryUrl: `file://${mount}` } })
    const vm = await small.createVm('app-1', [{ id: 'virtio0', size: SIZE }])
    const disk = await small.guest(vm.platformVmId, 'virtio0')
    await disk.write(0, noise('too much', 12 * MiB))
    const run = await small.backup(vm.vmId)
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'failed', reason: 'STORE_FULL', restorePointId: null })
    expect(await small.driver.listSnapshots(vm.platformVmId, 'varve-')).toEqual([])
    expect((await small.api<{ items: unknown[] }>('GET', `/v1/vms/${vm.vmId}/points`)).items).toEqual([])
  } finally {
    await small?.close()
    await runTool('umount', ['-l', mount])
    await rm(mount, { recursive: true, force: true })
  }
}, 90_000)

test('a repository that turned read-only: the run fails with STORE_READ_ONLY; writable again, the next run succeeds', async ctx => {
  const mount = await mkdtemp(join(tmpdir(), 'varve-read-only-'))
  try {
    await runTool('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', mount])
  } catch (error) {
    await rm(mount, { recursive: true })
    return ctx.skip(`a tmpfs cannot be mounted here: ${(error as Error).message.split('\n')[0]}`)
  }
  let other: System | undefined
  try {
    other = await startSystem({ standalone: { repositoryUrl: `file://${mount}` } })
    const vm = await other.createVm('app-1', [{ id: 'virtio0', size: SIZE }])
    const disk = await other.guest(vm.platformVmId, 'virtio0')
    await disk.write(0, noise('some', 4 * MiB))
    await runTool('mount', ['-o', 'remount,ro', mount])
    const failed = await other.backup(vm.vmId)
    expect(failed, JSON.stringify(failed)).toMatchObject({ state: 'failed', reason: 'STORE_READ_ONLY', restorePointId: null })
    expect(await other.driver.listSnapshots(vm.platformVmId, 'varve-')).toEqual([])
    await runTool('mount', ['-o', 'remount,rw', mount])
    expect(await other.backup(vm.vmId)).toMatchObject({ state: 'succeeded' })
  } finally {
    await other?.close()
    await runTool('umount', ['-l', mount])
    await rm(mount, { recursive: true, force: true })
  }
}, 90_000)
