import fs from 'node:fs'
import os from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Datastore } from './datastore.ts'
import { openDatastore } from './open-datastore.ts'

const K = 65536
const SIZE = 96 * K + 4096
const SECTOR = 4096

let folder: string
let store: Datastore

beforeEach(async () => {
  folder = fs.mkdtempSync(`${os.tmpdir()}/varve-concurrency-`)
  store = await openDatastore(folder, { cachePages: 2, mergeRate: 60 * 2 ** 20 })
})
afterEach(async () => {
  await store.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

/** A small generator, so that a failing seed can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test('eight writers, snapshots, merges and readers at the same time: live disk and snapshots stay true', { timeout: 40_000 }, async () => {
  const { id } = await store.createVm({ name: 'busy', config: {}, disks: [{ id: 'ide0', size: SIZE }] })
  await store.setCbt(id, 'enable')
  const disk = await store.openDisk(id, 'ide0')
  const model = Buffer.alloc(SIZE)
  const seed = Date.now() >>> 0
  const next = random(seed)
  let running = true
  let writes = 0

  // Writer w owns the sectors s with s % 8 = w: neighbours in a grain are always written by different ones.
  const writer = async (w: number): Promise<void> => {
    const own = random(seed + w + 1)
    while (running) {
      const sector = own(Math.floor(SIZE / SECTOR / 8)) * 8 + w
      const value = 1 + own(250)
      const zero = own(6) === 0
      model.fill(zero ? 0 : value, sector * SECTOR, (sector + 1) * SECTOR)
      if (zero) await disk.trim(sector * SECTOR, SECTOR, false)
      else await disk.write(sector * SECTOR, Buffer.alloc(SECTOR, value), false)
      writes += 1
    }
  }
  const writers = Array.from({ length: 8 }, (_, w) => writer(w))

  const snapshots: { id: string; checkpoint: bigint; content: Buffer }[] = []
  const dying: Promise<void>[] = []
  const read = async (snapshotId: string): Promise<Buffer> => {
    const content = Buffer.alloc(SIZE)
    await (await store.openSnapshotDisk(id, snapshotId, 'ide0')).read(0, content)
    return content
  }
  const ended = performance.now() + 4000
  let merged = 0
  while (performance.now() < ended) {
    const record = await store.createSnapshot(id, { name: `s${merged + snapshots.length}-${next(1e9)}` })
    snapshots.push({ id: record.id, checkpoint: BigInt(record.checkpointId), content: await read(record.id) })
    for (const snapshot of snapshots)
      if (!snapshot.content.equals(await read(snapshot.id))) expect.unreachable(`snapshot changed, seed ${seed}`)
    if (snapshots.length > 3) {
      const [victim] = snapshots.splice(next(snapshots.length), 1)
      dying.push(store.deleteSnapshot(id, victim!.id))
      merged += 1
      // Some merges run beside the next snapshot, some are waited for.
      if (next(2) === 0) await dying.at(-1)
    }
    const [older, newer] = [snapshots.at(-2), snapshots.at(-1)]
    if (older !== undefined && newer !== undefined) {
      const { areas } = await store.changedAreas({
        vmId: id,
        diskId: 'ide0',
        snapshotId: newer.id,
        checkpointId: older.checkpoint,
        startOffset: 0,
        maxAreas: 1e6,
      })
      const changed = new Set(areas.flatMap(a => Array.from({ length: Math.ceil(a.length / K) }, (_, i) => a.start / K + i)))
      for (let g = 0; g * K < SIZE; g++) {
        const same = older.content.subarray(g * K, (g + 1) * K).equals(newer.content.subarray(g * K, (g + 1) * K))
        if (!same && !changed.has(g)) expect.unreachable(`grain ${g} differs but is not in the answer, seed ${seed}`)
      }
    }
  }
  await Promise.all(dying)
  running = false
  await Promise.all(writers)
  const live = Buffer.alloc(SIZE)
  await disk.read(0, live)
  if (!live.equals(model)) expect.unreachable(`live disk differs at ${live.findIndex((b, i) => b !== model[i])}, seed ${seed}`)
  for (const snapshot of snapshots) {
    if (!snapshot.content.equals(await read(snapshot.id))) expect.unreachable(`snapshot changed, seed ${seed}`)
    await store.deleteSnapshot(id, snapshot.id)
  }
  await disk.read(0, live)
  expect(live.equals(model)).toBe(true)
  await store.close()
  store = await openDatastore(folder)
  await (await store.openDisk(id, 'ide0')).read(0, live)
  expect(live.equals(model)).toBe(true)
  expect(fs.readFileSync(`${folder}/${id}/ide0.img`).equals(model)).toBe(true)
  expect(merged).toBeGreaterThan(2)
  expect(writes).toBeGreaterThan(500)
  console.log(`${writes} writes, ${merged} merges`)
})

test('requests that overlap a trim in flight lose nothing of each other', async () => {
  const { id } = await store.createVm({ name: 'overlap', config: {}, disks: [{ id: 'ide0', size: 4 * K }] })
  const disk = await store.openDisk(id, 'ide0')
  for (let round = 0; round < 30; round++) {
    await disk.write(0, Buffer.alloc(4 * K, 1), false)
    if (round === 15) await store.createSnapshot(id, { name: 's' })
    // Locks are first come, first served: the trim is done first, then both writes, each into a grain that is no more there.
    await Promise.all([disk.trim(0, K, false), disk.write(0, Buffer.alloc(512, 2), false), disk.write(4096, Buffer.alloc(512, 3), false)])
    const bytes = Buffer.alloc(K)
    await disk.read(0, bytes)
    const expected = Buffer.alloc(K).fill(2, 0, 512).fill(3, 4096, 4608)
    expect(bytes.equals(expected), `round ${round}`).toBe(true)
  }
})
