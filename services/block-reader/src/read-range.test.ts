import { type Catalog, CatalogError, type RangeForWork, type RangeResult } from '@varve/catalog-client'
import { NbdError } from '@varve/nbd'
import { type PlatformDriver, PlatformError } from '@varve/platform'
import { createLogger } from '@varve/runtime'
import { beforeEach, describe, expect, test } from 'vitest'
import { DiskSources } from './disk-source.ts'
import { endOrRetry } from './end-or-retry.ts'
import { BlockReaderError } from './errors.ts'
import type { LaneTask } from './lane-messages.ts'
import type { LaneCall, LanePool } from './lane-pool.ts'
import { Platforms } from './platforms.ts'
import { readRange } from './read-range.ts'

const signal = new AbortController().signal
const log = createLogger('test', 'silent')
const RESULT: RangeResult = {
  read: 1,
  written: 1,
  unchanged: 0,
  zero: 0,
  pages: '',
  objects: [],
  damage: [],
  time: { source: 0, cpu: 0, store: 0 },
}
const RANGE: RangeForWork = {
  id: 'range',
  runId: 'run',
  imageId: 'image',
  index: 0,
  firstPage: 0,
  pageCount: 1,
  extents: [{ offset: 0, length: 512 }],
  bytes: 512,
  state: 'queued',
  diskId: 'virtio0',
  diskSize: 1024,
  blockSize: 65_536,
  kind: 'incremental',
  parentImageId: 'parent',
  platformId: 'platform',
  leaseId: 'lease',
  snapshotId: 'snapshot',
  sourceImageId: null,
  onDamage: 'fail',
  runState: 'copying',
  cancelRequested: false,
}

let range: RangeForWork
let reported: RangeResult[]
let asked: string[]
let leaseStatus: 'running' | 'expired' | 'gone'
let progress: () => { cancelRequested: boolean }
let lane: (task: LaneTask, call: LaneCall) => Promise<RangeResult>

beforeEach(() => {
  range = RANGE
  reported = []
  asked = []
  leaseStatus = 'running'
  progress = () => ({ cancelRequested: false })
  lane = async () => RESULT
})

function read(): Promise<void> {
  const catalog = {
    getRange: async () => range,
    getImageRoot: async (imageId: string) => ({ rootKey: `root of ${imageId}` }),
    getPlatform: async () => ({ id: 'platform', kind: 'scp', url: '', credentials: { username: '', password: '' } }),
    progressRange: async () => progress(),
    completeRange: async (_: string, result: RangeResult) => ({ accepted: reported.push(result) === 1 }),
  } as unknown as Catalog
  const platform = {
    diskAddress: async (leaseId: string, diskId: string, snapshotId: string) => {
      asked.push(`${leaseId} ${diskId} ${snapshotId}`)
      return { host: 'host', port: 1, exportName: 'export' }
    },
    getLease: async () => {
      if (leaseStatus === 'gone') throw new PlatformError('LEASE_LOST', 'no such lease')
      return { id: 'lease', vmId: 'vm', status: leaseStatus, remainSeconds: 1 }
    },
  } as unknown as PlatformDriver
  const sources = new DiskSources(new Platforms(catalog, () => platform))
  const lanes = { run: (task: LaneTask, call: LaneCall) => lane(task, call) } as unknown as LanePool
  return readRange('range', { catalog, sources, lanes, log }, signal)
}

test('the lane gets the extents, the parent and the address; its result is reported', async () => {
  let given: LaneTask | undefined
  lane = async task => {
    given = task
    return RESULT
  }
  await read()
  const source = { host: 'host', port: 1, exportName: 'export' }
  expect(given).toEqual({ diskSize: 1024, blockSize: 65_536, extents: RANGE.extents, parentRootKey: 'root of parent', source })
  expect(asked).toEqual(['lease virtio0 snapshot'])
  expect(reported).toEqual([RESULT])
})

test('a range that is done, or of a run that is not copying, is left alone', async () => {
  lane = () => Promise.reject(new Error('must not run'))
  for (const change of [{ state: 'done' }, { runState: 'sealing' }, { runState: 'failed' }] as const) {
    range = { ...RANGE, ...change }
    await read()
  }
  expect(reported).toEqual([])
})

describe('a run that ends meanwhile stops the lane', () => {
  const untilAborted: typeof lane = (_, { signal, onProgress }) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('stopped')))
      onProgress({ read: 1, written: 1 })
    })

  test('cancelled before', async () => {
    range = { ...RANGE, cancelRequested: true }
    await expect(read()).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  test('cancelled while it copies', async () => {
    lane = untilAborted
    progress = () => ({ cancelRequested: true })
    await expect(read()).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  test('failed elsewhere', async () => {
    lane = untilAborted
    progress = () => {
      throw new CatalogError('RUN_ENDED', 'the run is finishing')
    }
    await expect(read()).rejects.toMatchObject({ code: 'RUN_ENDED' })
  })
})

describe('why the source is gone', () => {
  const refused = () => Promise.reject(new NbdError('NBD_EXPORT_UNKNOWN', 'no such export'))

  test.each(['expired', 'gone'] as const)('the lease is %s', async status => {
    lane = refused
    leaseStatus = status
    await expect(read()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  test('the lease lives: it may pass', async () => {
    lane = refused
    await expect(read()).rejects.toMatchObject({ code: 'SOURCE_UNAVAILABLE', retryable: true })
  })

  test('the run has no lease any more', async () => {
    range = { ...RANGE, leaseId: null }
    await expect(read()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })
})

describe('what becomes of a job that failed', () => {
  const eio = (errno: string) => new NbdError('NBD_REQUEST_FAILED', 'no', { errno })
  test.each([
    [new NbdError('NBD_CLOSED', 'hung up'), false, 'again'],
    [new NbdError('NBD_CLOSED', 'hung up'), true, 'NBD_CLOSED'],
    [new NbdError('NBD_PROTOCOL', 'garbage'), false, 'again'],
    [eio('EIO'), false, 'again'],
    [eio('EIO'), true, 'NBD_REQUEST_FAILED'],
    [eio('EINVAL'), false, 'NBD_REQUEST_FAILED'],
    [new PlatformError('LEASE_LOST', 'gone'), false, 'LEASE_LOST'],
    [new BlockReaderError('CANCELLED', 'cancelled'), false, 'CANCELLED'],
    [new CatalogError('RUN_ENDED', 'over'), true, 'nothing'],
    [new Error('a bug'), false, 'again'],
    [new Error('a bug'), true, 'INTERNAL'],
  ])('%s, last attempt %s: %s', async (error, lastAttempt, expected) => {
    let failed = 'nothing'
    const failRun = async (_: string, { code }: { code: string }): Promise<void> => {
      failed = code
    }
    const catalog = { failRun } as unknown as Catalog
    const ended = endOrRetry(error, { runId: 'run', rangeId: 'range', lastAttempt, signal }, catalog, log)
    if (expected === 'again') await expect(ended).rejects.toBe(error)
    else {
      await ended
      expect(failed).toBe(expected)
    }
  })

  test('a process that is being stopped fails no run', async () => {
    const catalog = { failRun: () => Promise.reject(new Error('must not be called')) } as unknown as Catalog
    const error = new Error('stopped')
    const job = { runId: 'run', rangeId: 'range', lastAttempt: true, signal: AbortSignal.abort() }
    await expect(endOrRetry(error, job, catalog, log)).rejects.toBe(error)
  })
})
