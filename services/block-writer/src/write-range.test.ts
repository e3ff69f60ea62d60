import type { Catalog, RangeForWork, RangeResult } from '@varve/catalog-client'
import { NbdError } from '@varve/nbd'
import { type PlatformDriver, PlatformError } from '@varve/platform'
import { DiskAddresses, Platforms, workOnRange } from '@varve/range-worker'
import { createLogger } from '@varve/runtime'
import { expect, test } from 'vitest'
import { type RestoreTask, writeRange } from './write-range.ts'

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
  firstPage: 3,
  pageCount: 2,
  extents: [],
  bytes: 512,
  state: 'queued',
  diskId: 'virtio0',
  diskSize: 1024,
  blockSize: 65_536,
  kind: 'full',
  parentImageId: null,
  platformId: 'platform',
  leaseId: 'lease',
  snapshotId: null,
  sourceImageId: 'source',
  onDamage: 'continue',
  runState: 'copying',
  cancelRequested: false,
}

async function write(lane: (task: RestoreTask) => Promise<RangeResult>, change: Partial<RangeForWork> = {}, leaseLost = false) {
  const told: string[] = []
  const catalog = {
    getRange: async () => ({ ...RANGE, ...change }),
    getImageRoot: async (imageId: string) => ({ rootKey: `root of ${imageId}` }),
    getPlatform: async () => ({ id: 'platform', kind: 'scp', url: '', credentials: { username: '', password: '' } }),
    progressRange: async () => ({ cancelRequested: false }),
    addNote: async (_: string, note: string) => told.push(note),
    completeRange: async () => {
      told.push('complete')
      return { accepted: true }
    },
  } as unknown as Catalog
  const platform = {
    diskAddress: async (...args: unknown[]) => {
      told.push(args.slice(0, 3).join())
      return { host: 'host', port: 1, exportName: 'export' }
    },
    getLease: async () => {
      if (leaseLost) throw new PlatformError('LEASE_LOST', 'gone')
      return { id: 'lease', vmId: 'vm', status: 'running', remainSeconds: 1 }
    },
  } as unknown as PlatformDriver
  const disks = new DiskAddresses(new Platforms(catalog, () => platform), 'target')
  const deps = { catalog, disks, lanes: { run: lane }, log: createLogger('test', 'silent') }
  await workOnRange('range', writeRange, deps, new AbortController().signal)
  return told
}

test('the lane gets pages, image and address of the disk itself; its result is reported', async () => {
  let given: RestoreTask | undefined
  const told = await write(async task => {
    given = task
    return RESULT
  })
  expect(given).toEqual({
    diskSize: 1024,
    blockSize: 65_536,
    firstPage: 3,
    pageCount: 2,
    extents: [],
    onDamage: 'continue',
    sourceRootKey: 'root of source',
    disk: { host: 'host', port: 1, exportName: 'export' },
  })
  expect(told).toEqual(['lease,virtio0,', 'complete'])
})

test('damage is told before the range is complete', async () => {
  const damage = [0, 1, 2, 3].map(i => ({ offset: i * 1000, length: 10, code: 'BLOCK_DAMAGED' }))
  const told = await write(async () => ({ ...RESULT, damage }))
  expect(told.slice(1)).toEqual([
    'Disk virtio0: 40 bytes could not be restored: 10 at 0 (BLOCK_DAMAGED), 10 at 1000 (BLOCK_DAMAGED), 10 at 2000 (BLOCK_DAMAGED), ….',
    'complete',
  ])
})

test('a range that is done, or of a run that is not copying, is left alone; a cancelled one says so', async () => {
  const never = () => Promise.reject(new Error('must not run'))
  expect(await write(never, { state: 'done' })).toEqual([])
  expect(await write(never, { runState: 'finishing' })).toEqual([])
  await expect(write(never, { cancelRequested: true })).rejects.toMatchObject({ code: 'CANCELLED' })
})

test('a target that is gone is a lost lease, or may pass while the lease lives', async () => {
  const refused = () => Promise.reject(new NbdError('NBD_EXPORT_UNKNOWN', 'no such export'))
  await expect(write(refused, {}, true)).rejects.toMatchObject({ code: 'LEASE_LOST' })
  await expect(write(refused)).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE', retryable: true })
})
