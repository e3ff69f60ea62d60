import { randomBytes } from 'node:crypto'
import { decodePageRefs } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import { MemoryBackend } from '@varve/nbd/testing'
import { LanePool } from '@varve/range-worker'
import { type LaneWorld, startLaneWorld } from '@varve/range-worker/testing'
import { KiB, MiB, workerFile } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ReadTask } from './read-range.ts'

/** Lanes are real threads here, with the built code, over real sockets and a directory. */

const SIZE = 2 * MiB
const content = randomBytes(SIZE)

let world: LaneWorld
let pool: LanePool<ReadTask, RangeResult>

beforeAll(async () => {
  world = await startLaneWorld({ disk: () => new MemoryBackend(content) }, 64 * KiB)
  pool = new LanePool(workerFile(import.meta.url, './lane.js'), { repositoryUrl: world.repositoryUrl, storeSettings: {} })
})

afterAll(async () => {
  await pool.close()
  await world.close()
})

function task(exportName: string, bytesPerSecond: number | null = null): ReadTask {
  const disk = world.address(exportName)
  return {
    diskSize: SIZE,
    blockSize: 64 * KiB,
    extents: [{ offset: 0, length: SIZE }],
    parentPages: null,
    attemptId: randomBytes(12).toString('hex'),
    disk,
    bytesPerSecond,
  }
}

const call = { signal: new AbortController().signal, onProgress: () => {} }

test('a lane copies into the repository, and keeps its connection for the next range', async () => {
  const [first] = [await pool.run(task('disk'), call), await pool.run(task('disk'), call)]
  expect(world.server.connections).toBe(1)
  const [page] = await world.repository.getPages(decodePageRefs(Buffer.from(first.pages, 'base64')))
  const requests = Array.from({ length: 32 }, (_, entry) => ({ index: entry, page: page!, entry }))
  const disk = Buffer.alloc(SIZE)
  for await (const { index, bytes } of world.repository.readBlocks(requests)) disk.set(bytes!, index * 64 * KiB)
  expect(disk.equals(content)).toBe(true)
})

test('a lane compresses at the level that it is told', async () => {
  const lines = await startLaneWorld({ disk: () => new MemoryBackend(text(SIZE)) }, 64 * KiB)
  try {
    const written: number[] = []
    for (const zstdLevel of [1, 19]) {
      const one = new LanePool<ReadTask, RangeResult>(workerFile(import.meta.url, './lane.js'), {
        repositoryUrl: lines.repositoryUrl,
        storeSettings: {},
        zstdLevel,
      })
      try {
        const { written: bytes } = await one.run({ ...task('disk'), disk: lines.address('disk') }, call)
        written.push(bytes)
      } finally {
        await one.close()
      }
    }
    expect(written[1]).toBeLessThan(written[0]! * 0.95)
  } finally {
    await lines.close()
  }
})

/** Lines with numbers in them. */
function text(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0, i = 0; at < length; i++) at += bytes.write(`${(i * 7919) % 10_007} of ${i}\n`, at)
  return bytes
}

test('an error keeps its code; the lane goes on', async () => {
  await expect(pool.run(task('nothing'), call)).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN', retryable: false })
  await expect(pool.run(task('disk'), call)).resolves.toMatchObject({ read: SIZE })
})

test('a limit holds for the connection, from range to range, and what it costs is told', async () => {
  // A quarter of a second is saved up: half of the disk.
  const first = await pool.run(task('disk', 4 * MiB), call)
  expect(first.time.throttle).toBeGreaterThan(150)
  const second = await pool.run(task('disk', 4 * MiB), call)
  expect(second.time.throttle).toBeGreaterThan(300)
  expect(await pool.run(task('disk'), call)).toMatchObject({ read: SIZE, time: { throttle: 0 } })
})
