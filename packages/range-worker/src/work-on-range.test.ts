import { setTimeout } from 'node:timers/promises'
import { type Catalog, CatalogError, type RangeNext, type RangeResult, type TakenRange } from '@varve/catalog-client'
import { NbdError } from '@varve/nbd'
import { type PlatformDriver, PlatformError } from '@varve/platform'
import type { Repository } from '@varve/repository'
import { createLogger } from '@varve/runtime'
import { beforeEach, describe, expect, test } from 'vitest'
import { DiskAddresses, type DiskSide } from './disk-addresses.ts'
import type { LaneTask } from './lane-messages.ts'
import type { LaneCall } from './lane-pool.ts'
import { Platforms } from './platforms.ts'
import { type RangeWork, workOnRange } from './work-on-range.ts'

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
  time: { source: 0, throttle: 0, cpu: 0, store: 0 },
}
const RANGE: TakenRange = {
  id: 'range',
  attemptId: 'attempt',
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
  bytesPerSecond: 1_000_000,
  runState: 'copying',
  cancelRequested: false,
  paused: false,
}

interface Task extends LaneTask {
  readonly from: string
}
const work: RangeWork<Task> = {
  plan: async ({ extents }, { repository, signal }) => {
    if (slowRoot !== undefined) await repository.getRoot('images/x.root', { signal })
    return { from: String(extents[0]?.offset) }
  },
  notes: () => notes,
  done: 'done',
}

let range: TakenRange
/** How long a root takes, ms; undefined: the plan needs none. */
let slowRoot: number | undefined
let reported: RangeResult[]
let asked: string[]
let leaseStatus: 'running' | 'expired' | 'gone'
let ends: string[]
let progress: () => { next: RangeNext }
let notes: string[]
let workers: string[]
let lane: (task: Task, call: LaneCall) => Promise<RangeResult>

beforeEach(() => {
  range = RANGE
  reported = []
  slowRoot = undefined
  notes = []
  workers = []
  asked = []
  leaseStatus = 'running'
  ends = []
  progress = () => ({ next: 'go-on' })
  lane = async () => RESULT
})

function run(side: DiskSide = 'source', given: AbortSignal = signal): Promise<void> {
  const catalog = {
    takeRange: async (_: string, worker: string) => {
      workers.push(worker)
      return range
    },
    getPlatform: async () => ({ id: 'platform', kind: 'scp', url: '', credentials: { username: '', password: '' } }),
    progressRange: async () => progress(),
    addNote: async (_: string, note: string) => void asked.push(note),
    endAttempt: async (attemptId: string, end: string) => void ends.push(`${attemptId} ${end}`),
    completeRange: async (_range: string, _attempt: string, result: RangeResult) => {
      asked.push('complete')
      return { accepted: reported.push(result) === 1 }
    },
  } as unknown as Catalog
  const platform = {
    diskAddress: async (leaseId: string, diskId: string, snapshotId?: string) => {
      asked.push(`${leaseId} ${diskId} ${snapshotId}`)
      return { host: 'host', port: 1, exportName: 'export' }
    },
    getLease: async () => {
      if (leaseStatus === 'gone') throw new PlatformError('LEASE_LOST', 'no such lease')
      return { id: 'lease', vmId: 'vm', status: leaseStatus, remainSeconds: 1 }
    },
  } as unknown as PlatformDriver
  const disks = new DiskAddresses(new Platforms(catalog, () => platform), side)
  const repository = {
    getRoot: async () => {
      await setTimeout(slowRoot!)
      return {}
    },
  } as unknown as Repository
  const lanes = { run: (task: Task, call: LaneCall) => lane(task, call) }
  return workOnRange('range', work, { catalog, repository, disks, lanes, log, workerName: () => 'worker' }, given)
}

test.each([
  ['source', 'lease virtio0 snapshot'],
  ['target', 'lease virtio0 undefined'],
] as const)('the lane gets the plan and the address of the %s; notes come before its result is reported', async (side, address) => {
  let given: Task | undefined
  lane = async task => {
    given = task
    return RESULT
  }
  notes = ['a note']
  await run(side)
  expect(given).toEqual({ from: '0', disk: { host: 'host', port: 1, exportName: 'export' }, bytesPerSecond: 1_000_000 })
  expect(asked).toEqual([address, 'a note', 'complete'])
  expect(reported).toEqual([RESULT])
  expect(ends).toEqual([])
  expect(workers).toEqual(['worker'])
})

test('waiting for a root counts as waiting for the store', async () => {
  slowRoot = 50
  await run()
  const { time } = reported[0]!
  expect(time.store).toBeGreaterThanOrEqual(RESULT.time.store + 45)
  expect({ ...reported[0], time: { ...time, store: RESULT.time.store } }).toEqual(RESULT)
})

test('a range that is not to be worked on is left alone', async () => {
  lane = () => Promise.reject(new Error('must not run'))
  for (const change of [{ state: 'done' }, { state: 'planned', paused: true }, { runState: 'finishing', cancelRequested: true }] as const) {
    range = { ...RANGE, ...change, attemptId: null }
    await run()
  }
  expect(reported).toEqual([])
})

describe('a run that ends meanwhile stops the lane', () => {
  const untilAborted: typeof lane = (_, { signal, onProgress }) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('stopped')))
      onProgress({ read: 1, written: 1 }, 1)
    })

  test('cancelled before', async () => {
    range = { ...RANGE, attemptId: null, cancelRequested: true }
    await expect(run()).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  test('cancelled while it copies', async () => {
    lane = untilAborted
    progress = () => ({ next: 'cancelled' })
    await expect(run()).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(ends).toEqual(['attempt failed'])
  })

  test('failed elsewhere', async () => {
    lane = untilAborted
    progress = () => {
      throw new CatalogError('RUN_ENDED', 'the run is finishing')
    }
    await expect(run()).rejects.toMatchObject({ code: 'RUN_ENDED' })
    expect(ends).toEqual(['attempt failed'])
  })

  test.each(['paused', 'taken'] as const)('%s: handed back without an error, once the lane has stopped', async next => {
    let stopped = false
    lane = async (task, call) => {
      try {
        return await untilAborted(task, call)
      } finally {
        await new Promise(resolve => setImmediate(resolve))
        stopped = true
      }
    }
    progress = () => {
      expect(stopped).toBe(false)
      return { next }
    }
    await run()
    expect(stopped).toBe(true)
    expect(ends).toEqual(['attempt handed-back'])
    expect(reported).toEqual([])
  })

  test('a process that is stopped hands back', async () => {
    const stop = new AbortController()
    lane = (task, call) => {
      setImmediate(() => stop.abort(new Error('stop')))
      return untilAborted(task, call)
    }
    await expect(run('source', stop.signal)).rejects.toThrow()
    expect(ends).toEqual(['attempt handed-back'])
  })
})

test('what fails ends the attempt', async () => {
  lane = () => Promise.reject(new NbdError('NBD_REQUEST_FAILED', 'EIO'))
  await expect(run()).rejects.toMatchObject({ code: 'NBD_REQUEST_FAILED' })
  expect(ends).toEqual(['attempt failed'])
})

describe.each([
  ['source', 'SOURCE_UNAVAILABLE'],
  ['target', 'TARGET_UNAVAILABLE'],
] as const)('why the %s is gone', (side, unavailable) => {
  const refused = () => Promise.reject(new NbdError('NBD_EXPORT_UNKNOWN', 'no such export'))

  test.each(['expired', 'gone'] as const)('the lease is %s', async status => {
    lane = refused
    leaseStatus = status
    await expect(run(side)).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  test('the lease lives: it may pass', async () => {
    lane = refused
    await expect(run(side)).rejects.toMatchObject({ code: unavailable, retryable: true })
  })

  test('the run has no lease any more', async () => {
    range = { ...RANGE, leaseId: null }
    await expect(run(side)).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })
})

test('a source without a snapshot is a lost lease', async () => {
  range = { ...RANGE, snapshotId: null }
  await expect(run('source')).rejects.toMatchObject({ code: 'LEASE_LOST' })
})
