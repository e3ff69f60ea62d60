import { randomBytes } from 'node:crypto'
import { encodePageRefs, Page } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import { MemoryBackend } from '@varve/nbd/testing'
import { LanePool } from '@varve/range-worker'
import { type LaneWorld, startLaneWorld } from '@varve/range-worker/testing'
import { formatHash } from '@varve/repository'
import { randomObjectIds } from '@varve/repository/testing'
import { KiB, MiB, workerFile } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RestoreTask } from './write-range.ts'

/** Lanes are real threads here, with the built code, over real sockets and a directory. */

const BLOCK = 64 * KiB
const SIZE = 1 * MiB
const content = randomBytes(SIZE)
const disk = new MemoryBackend(SIZE)
const call = { signal: new AbortController().signal, onProgress: () => {} }

let world: LaneWorld
let sourcePages: Buffer
let pool: LanePool<RestoreTask, RangeResult>

beforeAll(async () => {
  world = await startLaneWorld({ disk: () => disk }, BLOCK)
  const { repository, repositoryUrl } = world
  const ids = randomObjectIds()
  const packs = repository.packWriter(ids)
  const page = Page.empty(0, SIZE / BLOCK)
  for (let entry = 0; entry < page.blockCount; entry++) {
    const bytes = content.subarray(entry * BLOCK, (entry + 1) * BLOCK)
    const hash = formatHash(bytes)
    page.setStored(entry, hash, await packs.add(hash, bytes))
  }
  await packs.finish()
  sourcePages = encodePageRefs((await repository.putMap(ids, [page])).refs)
  pool = new LanePool(workerFile(import.meta.url, './lane.js'), { repositoryUrl, storeSettings: {} })
})

afterAll(async () => {
  await pool.close()
  await world.close()
})

function task(exportName: string, bytesPerSecond: number | null = null): RestoreTask {
  const whole = { diskSize: SIZE, blockSize: BLOCK, firstPage: 0, pageCount: 1, extents: [] }
  return { ...whole, sourcePages, onDamage: 'fail', disk: world.address(exportName), bytesPerSecond }
}

test('a lane writes a range; an error keeps its code and the lane goes on', async () => {
  await expect(pool.run(task('nothing'), call)).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN' })
  await expect(pool.run(task('disk'), call)).resolves.toMatchObject({ written: SIZE, damage: [] })
  expect(content.equals(disk.bytes)).toBe(true)
  expect(disk.calls.flush).toBe(1)
})

test('a limit holds writes back, and what it costs is told', async () => {
  expect((await pool.run(task('disk'), call)).time.throttle).toBe(0)
  const { time, written } = await pool.run(task('disk', 2 * MiB), call)
  expect(written).toBe(SIZE)
  // Half of it may go at once.
  expect(time.throttle).toBeGreaterThan(150)
  expect(content.equals(disk.bytes)).toBe(true)
})
