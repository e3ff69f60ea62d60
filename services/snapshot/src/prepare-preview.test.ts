import { type BlockEntry, merkleRoot, Page, PageRefs, type Root } from '@varve/block-map'
import type { PointImage, RestorePoint, RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { Cut, CutAt } from '@varve/range-worker/testing'
import { objectIds } from '@varve/repository'
import { describe, expect, test } from 'vitest'
import { finishRun } from './finish-run.ts'
import { preparePreview } from './prepare-preview.ts'
import { type StoryWorld, storyWorld, twoDisks } from './testing/story-world.ts'

const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
const KiB = 1024
const BLOCK = 256 * KiB

async function backupWorld(options: object = {}): Promise<StoryWorld> {
  const world = await storyWorld({ kind: 'preview', options: { of: 'backup', ...options } })
  world.platform.tracked.add('vm-1/virtio0')
  world.platform.answer = () => [[{ offset: 64 * KiB, length: 64 * KiB }], [{ offset: 3 * BLOCK, length: 2 * BLOCK }]]
  return world
}

/** The point has two blocks of each disk, stored in 1000 and 3000 bytes; since then a granule of the second changed. */
async function restoreWorld(options: Partial<RunForWork['options']>): Promise<StoryWorld> {
  const world = await storyWorld({
    kind: 'preview',
    options: { of: 'restore', ...options } as RunForWork['options'],
    restorePointId: 'point',
  })
  const { platform, catalog, deps } = world
  for (const { id } of twoDisks()) platform.tracked.add(`vm-1/${id}`)
  platform.answer = () => [[{ offset: BLOCK + 64 * KiB, length: 64 * KiB }]]
  await platform.power('vm-1', 'off')
  platform.inc = 3n
  const images: PointImage[] = []
  for (const [i, { id: diskId, size: diskSize }] of twoDisks().entries()) {
    const imageId = `image-${diskId}`
    const page = Page.empty(0, Math.min(1024, Math.ceil(diskSize / BLOCK)))
    for (const [block, storedLength] of [1000, 3000].entries()) {
      const location = { packId: `${i}`.repeat(32), offset: 32 + block * 1000, storedLength, codec: 1 } satisfies Omit<BlockEntry, 'hash'>
      page.setStored(block, new Uint8Array(32).fill(block + 1), location)
    }
    const { refs } = await deps.repository.putMap(objectIds(`${i}`.repeat(24)), [page])
    const root: Root = { imageId, diskSize, blockSize: BLOCK, pages: PageRefs.from(refs) }
    merkleRoot(root)
    catalog.roots.set(imageId, await deps.repository.putRoot(root))
    images.push({ imageId, diskId, diskSize, blockSize: BLOCK, kind: 'full', reason: 'first', read: 0, stored: 0, cbt: true })
  }
  const checkpointId = String((1n << 32n) | 2n)
  catalog.point = { id: 'point', images, checkpointId } as unknown as RestorePoint
  catalog.pointConfig = { config: { disks: twoDisks() }, platformId: 'platform', platformVmId: 'vm-1', checkpointId }
  return world
}

const WORLDS: Record<string, () => Promise<StoryWorld>> = {
  'of a backup': () => backupWorld(),
  'of a restore to a new VM': () => restoreWorld({ target: 'new-vm' }),
  'of a differential restore': () => restoreWorld({ target: 'original', differential: true }),
}

/** As the queue does it: again while the platform is busy with what a dead process asked for. A lease that nobody knows of runs out by itself. */
async function again(world: StoryWorld, job: () => Promise<void>): Promise<void> {
  for (let delivery = 1; ; delivery++) {
    try {
      return await job()
    } catch (error) {
      if (delivery === 20 || !hasCode(error, 'VM_BUSY', 'LEASE_OCCUPIED', 'SNAPSHOT_NOT_FOUND', 'RUN_ENDED', 'PLAN_CHANGED')) throw error
      if (hasCode(error, 'RUN_ENDED')) return
      const { leaseId } = world.catalog.run.resources
      for (const id of world.platform.leases.keys()) if (id !== leaseId) world.platform.leases.delete(id)
    }
  }
}

const seen = ({ catalog: { run }, platform }: StoryWorld) => ({
  state: run.state,
  prediction: run.prediction,
  notes: run.notes,
  tracked: [...platform.tracked],
  snapshots: platform.snapshots.size,
  leases: platform.leases.size,
  vms: platform.vms.size,
})

async function whole(open: () => Promise<StoryWorld>): Promise<StoryWorld> {
  const world = await open()
  await preparePreview(RUN_ID, world.deps, signal)
  expect(world.catalog.run.state).toBe('finishing')
  await finishRun(RUN_ID, world.deps, signal)
  return world
}

describe.each(Object.entries(WORLDS))('a preview %s', (_, open) => {
  test('leaves nothing behind, and tracking, disks and VMs as they were', async () => {
    const before = seen(await open())
    const after = seen(await whole(open))
    expect(after).toMatchObject({ state: 'succeeded', snapshots: 0, leases: 0, vms: before.vms, tracked: before.tracked })
    expect(after.prediction).not.toBeNull()
  })

  test('crashed at any step and delivered again, to two at once, it ends the same', async () => {
    const expected = seen(await whole(open))
    for (let step = 1; ; step++) {
      const world = await open()
      const cut = new CutAt(step)
      const deps = world.watched(cut.at)
      const crashed = (await cut.run(() => preparePreview(RUN_ID, deps, signal))) === 'cut'
      await Promise.all([1, 2].map(() => again(world, () => preparePreview(RUN_ID, world.deps, signal))))
      await again(world, () => finishRun(RUN_ID, world.deps, signal))
      world.platform.muchLater()
      expect(seen(world), `crash at step ${step}`).toEqual(expected)
      if (!crashed) {
        expect(step).toBeGreaterThan(5)
        break
      }
    }
  }, 60_000)
})

const cancelled = { code: 'CANCELLED', message: 'cancelled', retryable: false }

/** What ends a run under the hands of a worker that sleeps: somebody cancels it, or another worker does it to a good end. */
const ENDINGS: Record<string, (world: StoryWorld) => Promise<void>> = {
  cancelled: world => world.catalog.failRun(RUN_ID, cancelled),
  'done by another worker': world => again(world, () => preparePreview(RUN_ID, world.deps, signal)),
}

describe.each(Object.entries(WORLDS))('a preview %s', (_, open) => {
  test.each(Object.entries(ENDINGS))(
    '%s while its worker sleeps at any step, which then goes on, or is killed when it makes something',
    async (_ending, end) => {
      for (const kill of [false, true]) {
        for (let n = 1; ; n++) {
          const world = await open()
          let step = 0
          let dead = false
          const deps = world.watched(async at => {
            dead ||= kill && step >= n && at.startsWith('during')
            if (dead) throw new Cut()
            if (++step !== n || at.startsWith('during')) return
            await end(world)
            await again(world, () => finishRun(RUN_ID, world.deps, signal))
            world.platform.muchLater()
          })
          await preparePreview(RUN_ID, deps, signal).catch(() => {})
          if (step < n) break
          // The queue delivers the job of the killed worker again.
          await again(world, () => preparePreview(RUN_ID, world.deps, signal))
          await again(world, () => finishRun(RUN_ID, world.deps, signal))
          world.platform.muchLater()
          expect(seen(world), `at step ${n}`).toMatchObject({ snapshots: 0, leases: 0, vms: 1 })
          expect(['cancelled', 'succeeded']).toContain(world.catalog.run.state)
        }
      }
    },
  )
})

test('tracking that is off for the whole VM: the fulls that the backup would be', async () => {
  const { catalog, platform } = await whole(async () => {
    const world = await backupWorld()
    world.platform.tracked.clear()
    return world
  })
  expect(catalog.run.prediction?.disks.map(({ reason }) => reason)).toEqual(['first', 'first'])
  expect(platform.tracked).toEqual(new Set())
})

test('a disk with tracking as the backup plans it, one without by its size; out of reach of the disks at most that is read', async () => {
  const { catalog } = await whole(() => backupWorld())
  expect(catalog.run.prediction).toMatchObject({ of: 'backup', exact: false, planned: 64 * KiB + 2 * BLOCK + (2 * 1024 * KiB + 512) })
  expect(catalog.run.prediction?.disks).toMatchObject([
    { diskId: 'virtio0', kind: 'full', reason: 'first', planned: 64 * KiB + 2 * BLOCK, exact: false },
    { diskId: 'virtio1', kind: 'full', reason: 'first', planned: 2 * 1024 * KiB + 512, read: 2 * 1024 * KiB + 512 },
  ])
  expect(catalog.run.notes).toEqual(['virtio0', 'virtio1'].map(id => expect.stringMatching(`^Disk ${id} could not be asked which blocks`)))
})

test('tracking that is off and is to stay off is told as such', async () => {
  const { catalog } = await whole(() => backupWorld({ enableCbt: false }))
  expect(catalog.run.prediction?.disks.map(({ reason }) => reason)).toEqual(['first', 'cbt-off'])
})

test('tracking that has expired is not reset: the full that the backup would be', async () => {
  const { catalog, platform } = await whole(async () => {
    const world = await backupWorld()
    world.platform.answer = () => 'CBT_EXPIRED'
    return world
  })
  expect(catalog.run.prediction?.disks[0]).toMatchObject({ kind: 'full', reason: 'cbt-expired' })
  expect(platform.tracked).toEqual(new Set(['vm-1/virtio0']))
})

test('a restore reads the stored bytes of all blocks, a differential those of the blocks that changed', async () => {
  const full = await whole(() => restoreWorld({ target: 'new-vm' }))
  expect(full.catalog.run.prediction).toMatchObject({
    of: 'restore',
    exact: true,
    read: 8000,
    planned: 4 * BLOCK,
    stored: 0,
    puts: 0,
    gets: 6,
  })
  const differential = await whole(() => restoreWorld({ target: 'original', differential: true }))
  expect(differential.catalog.run.prediction).toMatchObject({ exact: true, read: 6000, planned: 128 * KiB })
  expect(differential.catalog.run.prediction?.disks.map(({ kind }) => kind)).toEqual(['differential', 'differential'])
})

test('a preview of a restore to the original wants it off, as the restore does', async () => {
  const world = await restoreWorld({ target: 'original' })
  await world.platform.power('vm-1', 'on')
  await expect(preparePreview(RUN_ID, world.deps, signal)).rejects.toMatchObject({ code: 'VM_NOT_OFF' })
})
