import { randomBytes } from 'node:crypto'
import type { Catalog, RangeResult, TakenRange } from '@varve/catalog-client'
import { MemoryBackend } from '@varve/nbd/testing'
import type { DiskAddress } from '@varve/platform'
import type { Repository } from '@varve/repository'
import { Closer, createLogger, KiB, MiB, workerFile } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DiskAddresses } from './disk-addresses.ts'
import type { LaneTask } from './lane-messages.ts'
import { LanePool } from './lane-pool.ts'
import { startLaneWorld } from './testing/index.ts'
import { startTrickle, type Trickle } from './testing/trickle.ts'
import { workOnRange } from './work-on-range.ts'

const closer = new Closer()
let direct: DiskAddress
let trickle: Trickle
let lanes: LanePool<LaneTask, RangeResult>

beforeAll(async () => {
  const content = randomBytes(1 * MiB)
  const world = await startLaneWorld({ disk: () => new MemoryBackend(content) })
  closer.add('world', () => world.close())
  direct = world.address('disk')
  trickle = await startTrickle(direct, { atOnce: 64 * KiB, everyMs: 5 })
  closer.add('trickle', () => trickle.close())
  const settings = { repositoryUrl: world.repositoryUrl, storeSettings: {} }
  lanes = new LanePool(workerFile(import.meta.url, './testing/reading-lane.js'), settings)
  closer.add('lanes', () => lanes.close())
})

afterAll(() => closer.close())

/** One range of the disk at this address. @returns what was reported */
async function work(address: DiskAddress, stallMs: number): Promise<RangeResult | undefined> {
  let reported: RangeResult | undefined
  const catalog = {
    takeRange: async () =>
      ({ id: 'range', attemptId: 'attempt', index: 0, diskId: 'virtio0', bytesPerSecond: null }) as unknown as TakenRange,
    progressRange: async () => ({ next: 'go-on' }),
    endAttempt: async () => {},
    completeRange: async (_range: string, _attempt: string, result: RangeResult) => {
      reported = result
      return { accepted: true }
    },
  } as unknown as Catalog
  const disks = { of: async () => address, explain: async (error: unknown) => error } as unknown as DiskAddresses
  const range = { plan: async () => ({}), notes: () => [], done: 'done' }
  const nothing = {} as Repository
  const log = createLogger('test', 'silent')
  // The lane's result is that of the test's lane; the log wants a list of damage, and where time went.
  const rest = { damage: [], time: { source: 0, throttle: 0, cpu: 0, store: 0 } }
  const whole = { run: async (...args: Parameters<typeof lanes.run>) => ({ ...(await lanes.run(...args)), ...rest }) }
  await workOnRange(
    'range',
    range,
    { catalog, repository: nothing, disks, lanes: whole, log, workerName: () => 'worker', stallMs },
    new AbortController().signal,
  )
  return reported
}

test('a server that sends byte by byte, and so never falls silent, is given up as one that may pass; the lane goes on', async () => {
  // The lane runs by now: starting one takes longer than the short stall limit on a busy machine.
  await work(direct, 30_000)
  const slow = work({ host: trickle.host, port: trickle.port, exportName: 'disk' }, 1000)
  await expect(slow).rejects.toMatchObject({ code: 'RANGE_STALLED', retryable: true })
  expect(trickle.drops).toBeGreaterThan(10)
  expect(await work(direct, 30_000)).toMatchObject({ read: 1 * MiB })
})
