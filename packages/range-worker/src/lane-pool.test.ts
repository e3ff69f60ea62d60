import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { MemoryBackend } from '@varve/nbd/testing'
import { MiB, workerFile } from '@varve/runtime'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { LaneTask } from './lane-messages.ts'
import { LanePool } from './lane-pool.ts'
import { type LaneWorld, startLaneWorld } from './testing/index.ts'

/** Lanes are real threads here, with the built code, over real sockets. */

const SIZE = 2 * MiB
const content = randomBytes(SIZE)
const never = new AbortController().signal

let releaseStalled = (): void => {}
const released = new Promise<void>(resolve => {
  releaseStalled = resolve
})

/** What the lane of these tests answers: the whole disk. */
interface Read {
  readonly read: number
  readonly bytes: string
}

/** Answers no read until the end of the tests. */
class StalledDisk extends MemoryBackend {
  override read(): Promise<void> {
    return released
  }
}

let world: LaneWorld
let pool: LanePool<LaneTask, Read>

beforeAll(async () => {
  world = await startLaneWorld({ disk: () => new MemoryBackend(content), stalled: () => new StalledDisk(content) })
})

afterEach(() => pool.close())

afterAll(async () => {
  releaseStalled()
  await world.close()
})

function openPool(url = world.repositoryUrl): LanePool<LaneTask, Read> {
  pool = new LanePool(workerFile(import.meta.url, './testing/reading-lane.js'), { repositoryUrl: url, storeSettings: {} })
  return pool
}

function task(exportName: string): LaneTask {
  return { disk: world.address(exportName), bytesPerSecond: null }
}

const call = { signal: never, onProgress: () => {} }

test('a lane keeps its connection for the next range', async () => {
  openPool()
  const [first] = [await pool.run(task('disk'), call), await pool.run(task('disk'), call)]
  expect(world.server.connections).toBe(1)
  expect(content.equals(Buffer.from(first.bytes, 'base64'))).toBe(true)
})

test('several ranges at once run in lanes of their own', async () => {
  openPool()
  const results = await Promise.all([pool.run(task('disk'), call), pool.run(task('disk'), call)])
  expect(results.map(result => result.read)).toEqual([SIZE, SIZE])
})

test('errors keep their code and context; the lane goes on', async () => {
  openPool()
  await expect(pool.run(task('nothing'), call)).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN', retryable: false })
  await expect(pool.run(task('disk'), call)).resolves.toMatchObject({ read: SIZE })
})

test('an abort gets through to a read that stalls, progress is told meanwhile, and the lane goes on', async () => {
  openPool()
  const stop = new AbortController()
  const stalled = pool.run(task('stalled'), { signal: stop.signal, onProgress: () => stop.abort() })
  await expect(stalled).rejects.toMatchObject({ name: 'LaneError' })
  await expect(pool.run(task('disk'), call)).resolves.toMatchObject({ read: SIZE })
})

test('a repository that is not there', async () => {
  openPool(pathToFileURL(join(world.folder, 'nowhere')).href)
  await expect(pool.run(task('disk'), call)).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' })
})

test('a lane that dies fails its range as passing', async () => {
  pool = new LanePool(workerFile(import.meta.url, './no-such-lane.js'), { repositoryUrl: world.repositoryUrl, storeSettings: {} })
  await expect(pool.run(task('disk'), call)).rejects.toMatchObject({ code: 'LANE_DIED', retryable: true })
})

test('closing ends a range under way', async () => {
  openPool()
  const stalled = pool.run(task('stalled'), call)
  const ended = expect(stalled).rejects.toThrow()
  await pool.close()
  await ended
})
