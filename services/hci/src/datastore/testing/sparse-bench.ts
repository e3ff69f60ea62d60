import fs from 'node:fs'
import os from 'node:os'
import { openDatastore } from '../open-datastore.ts'

/**
 * A sparse disk of 63 TB with a few megabytes of data: time of each operation, and memory. Prints one JSON line.
 *
 *     node dist/datastore/testing/sparse-bench.js [folder]
 */
const SIZE = 63e12 - (63e12 % 65536) + 1024
const folder = fs.mkdtempSync(`${process.argv[2] ?? os.tmpdir()}/varve-sparse-`)
const ms: Record<string, number> = {}

async function timed<T>(name: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await work()
  ms[name] = Math.round((performance.now() - started) * 10) / 10
  return result
}

try {
  let store = await openDatastore(folder)
  const { id } = await timed('create', () => store.createVm({ name: 'big', config: {}, disks: [{ id: 'ide0', size: SIZE }] }))
  let disk = await store.openDisk(id, 'ide0')
  const bytes = Buffer.alloc(4096, 7)
  // A step that visits all of the disk: every page of every map is another one.
  const scatter = async (count: number, from: number): Promise<void> => {
    for (let i = 0; i < count; i++) await disk.write(Math.floor(((i + from) * SIZE) / count / 4096) * 4096, bytes, false)
  }
  await timed('write 2000 × 4 KiB', () => scatter(2000, 0))
  await disk.write(SIZE - 512, bytes.subarray(0, 512), false)
  await timed('enable CBT', () => store.setCbt(id, 'enable'))
  const first = await timed('first snapshot', () => store.createSnapshot(id, { name: 's1' }))
  await timed('write 1000 × 4 KiB copy-on-write', () => scatter(1000, 0.25))
  const second = await timed('second snapshot', () => store.createSnapshot(id, { name: 's2' }))
  const areas = async (checkpointId: bigint): Promise<number> => {
    let count = 0
    for (let startOffset = 0; startOffset < SIZE; ) {
      const answer = await store.changedAreas({
        vmId: id,
        diskId: 'ide0',
        snapshotId: second.id,
        checkpointId,
        startOffset,
        maxAreas: 1000,
      })
      count += answer.areas.length
      startOffset += answer.length
    }
    return count
  }
  const allocated = await timed('changed areas since 0', () => areas(0n))
  const changed = await timed('changed areas since s1', () => areas(BigInt(first.checkpointId)))
  const view = await store.openSnapshotDisk(id, second.id, 'ide0')
  const tail = Buffer.alloc(512)
  await view.read(SIZE - 512, tail)
  await timed('merge', async () => {
    await store.deleteSnapshot(id, first.id)
    await store.deleteSnapshot(id, second.id)
  })
  await timed('close', () => store.close())
  store = await timed('open', () => openDatastore(folder))
  disk = await store.openDisk(id, 'ide0')
  await disk.read(SIZE - 512, tail)
  await store.close()
  // Kilobytes on Linux.
  const maxRss = process.resourceUsage().maxRSS * 1024
  const files = fs.readdirSync(`${folder}/${id}`).map(name => fs.statSync(`${folder}/${id}/${name}`).blocks * 512)
  const onDisk = files.reduce((sum, n) => sum + n, 0)
  console.log(JSON.stringify({ size: SIZE, allocated, changed, tailIsRight: tail.every(byte => byte === 7), maxRss, onDisk, ms }))
} finally {
  fs.rmSync(folder, { recursive: true, force: true })
}
