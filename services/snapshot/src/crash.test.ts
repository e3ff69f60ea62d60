import { merkleRoot, PageRefs, type Root } from '@varve/block-map'
import type { PointImage, RestorePoint, RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { Cut, CutAt } from '@varve/range-worker/testing'
import { describe, expect, test } from 'vitest'
import { finishRun } from './finish-run.ts'
import { prepareBackup } from './prepare-backup.ts'
import { prepareRestore } from './prepare-restore.ts'
import { sealRestorePoint } from './seal-restore-point.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import { type StoryWorld, storyWorld, twoDisks } from './testing/story-world.ts'

/**
 * Invariant 7: a job killed at any line and delivered again comes to the same end, and nothing is left behind. A "line" is each call to platform,
 * catalog and store, before it takes effect and after.
 */

const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
type Story = (runId: string, deps: SnapshotDeps, signal: AbortSignal) => Promise<void>

/** Run the story, cut off at step `n`. false when it came to its end before. */
async function crashAt(n: number, story: Story, world: StoryWorld): Promise<boolean> {
  const cut = new CutAt(n)
  const deps = world.watched(cut.at)
  return (await cut.run(() => story(RUN_ID, deps, signal))) === 'cut'
}

/** A lease that only the dead process knew of runs out by itself, long before the platform forgets its token. */
function expireUnknownLeases({ platform, catalog }: StoryWorld): void {
  for (const id of platform.leases.keys()) if (id !== catalog.run.resources.leaseId) platform.leases.delete(id)
}

/** As the queue does it: again while the platform is busy with what a dead process asked for. */
async function finishInTheEnd({ deps }: StoryWorld): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await finishRun(RUN_ID, deps, signal)
    } catch (error) {
      if (!hasCode(error, 'VM_BUSY') || attempt === 20) throw error
    }
  }
}

/** As the queue does it: again as long as one of the deliveries failed with something that passes. */
async function untilDone(world: StoryWorld, deliver: () => Promise<readonly PromiseSettledResult<void>[]>): Promise<void> {
  for (let delivery = 1; ; delivery++) {
    const failed = (await deliver()).find(end => end.status === 'rejected')
    if (failed === undefined) return
    if (delivery === 20 || !hasCode(failed.reason, 'VM_BUSY', 'LEASE_OCCUPIED', 'PLAN_CHANGED', 'SNAPSHOT_NOT_FOUND')) throw failed.reason
    expireUnknownLeases(world)
  }
}

const kept = ({ catalog, platform }: StoryWorld) => ({
  state: catalog.run.state,
  images: catalog.run.images.map(({ diskId, kind, reason }) => ({ diskId, kind, reason })),
  ranges: [...catalog.ranges.entries()],
  notes: catalog.run.notes,
  tracked: [...platform.tracked],
  snapshots: [...platform.snapshots.values()].map(snapshot => snapshot.name),
  leases: platform.leases.size,
  vms: platform.vms.size,
})

async function expectNothingLeft(world: StoryWorld): Promise<void> {
  world.platform.muchLater()
  expect(world.platform.snapshots.size).toBe(0)
  expect(world.platform.leases.size).toBe(0)
}

const parents: Record<string, (world: StoryWorld) => void> = {
  'a first backup': () => {},
  'a backup after which tracking must be reset': ({ platform }) => {
    for (const { id } of twoDisks()) platform.tracked.add(`vm-1/${id}`)
    platform.answer = ({ snapshot }) => (snapshot.checkpointId >> 32n === 1n ? 'CBT_EXPIRED' : [[{ offset: 0, length: 65_536 }]])
  },
}

const stories: readonly { name: string; story: Story; open: () => Promise<StoryWorld> }[] = [
  ...Object.entries(parents).map(([name, arrange]) => ({
    name,
    story: prepareBackup,
    open: async () => {
      const world = await storyWorld({ kind: 'backup' })
      arrange(world)
      return world
    },
  })),
  { name: 'a restore to a new VM', story: prepareRestore, open: () => restoreWorld({ target: 'new-vm' }) },
  { name: 'a restore to the original', story: prepareRestore, open: () => restoreWorld({ target: 'original' }) },
  {
    name: 'a differential restore',
    story: prepareRestore,
    open: () => restoreWorld({ target: 'original', differential: true }),
  },
]

async function restoreWorld(options: RunForWork['options']): Promise<StoryWorld> {
  const world = await storyWorld({ kind: 'restore', options, restorePointId: 'point' })
  const { platform, catalog, deps } = world
  for (const { id } of twoDisks()) platform.tracked.add(`vm-1/${id}`)
  await platform.power('vm-1', 'off')
  platform.inc = 3n
  const images: PointImage[] = []
  for (const { id: diskId, size: diskSize } of twoDisks()) {
    const imageId = `image-${diskId}`
    const page = { pageIndex: 0, mapId: 'a'.repeat(32), offset: 32, length: 400, hash: new Uint8Array(32), storedBlocks: 5 }
    const root: Root = { imageId, diskSize, blockSize: 256 * 1024, pages: PageRefs.from([page]) }
    merkleRoot(root)
    catalog.roots.set(imageId, await deps.repository.putRoot(root))
    images.push({ imageId, diskId, diskSize, blockSize: 256 * 1024, kind: 'full', reason: 'first', read: 0, stored: 0, cbt: true })
  }
  const checkpointId = String((1n << 32n) | 2n)
  catalog.point = { id: 'point', images, checkpointId } as unknown as RestorePoint
  catalog.pointConfig = { config: { disks: twoDisks() }, platformId: 'platform', platformVmId: 'vm-1', checkpointId }
  return world
}

describe.each(stories)('$name', ({ story, open }) => {
  test('crashed at any step and delivered again makes the same plan', async () => {
    const whole = await open()
    await story(RUN_ID, whole.deps, signal)
    const expected = kept(whole)
    expect(expected.state).toBe('copying')
    let steps = 1
    for (; ; steps++) {
      const world = await open()
      if (!(await crashAt(steps, story, world))) break
      await story(RUN_ID, world.deps, signal)
      expect(kept(world), `crash at step ${steps}`).toEqual(expected)
    }
    expect(steps).toBeGreaterThan(20)
  })

  test('crashed at any step and delivered to two workers at once makes the same plan', async () => {
    const whole = await open()
    await story(RUN_ID, whole.deps, signal)
    const expected = kept(whole)
    for (let n = 1; ; n++) {
      const world = await open()
      const crashed = await crashAt(n, story, world)
      expireUnknownLeases(world)
      await untilDone(world, () => Promise.allSettled([1, 2].map(() => story(RUN_ID, world.deps, signal))))
      expect(kept(world), `crash at step ${n}`).toEqual(expected)
      if (!crashed) break
    }
  })

  test('prepared by another worker while the first one sleeps at any step, which then goes on: the plan keeps its lease', async () => {
    const whole = await open()
    await story(RUN_ID, whole.deps, signal)
    const { snapshots: _, ...expected } = kept(whole)
    for (let n = 1; ; n++) {
      const world = await open()
      let step = 0
      const deps = world.watched(async () => {
        if (++step !== n) return
        expireUnknownLeases(world)
        await untilDone(world, () => Promise.allSettled([story(RUN_ID, world.deps, signal)]))
      })
      await story(RUN_ID, deps, signal).catch(() => {})
      if (step < n) break
      await untilDone(world, () => Promise.allSettled([story(RUN_ID, world.deps, signal)]))
      expect(kept(world), `slept at step ${n}`).toMatchObject(expected)
      expect(world.platform.leases.has(world.catalog.run.resources.leaseId!), `slept at step ${n}`).toBe(true)
    }
  })

  test('cancelled at any step, with finish-run under way at that very moment, leaves nothing behind', async () => {
    for (let n = 1; ; n++) {
      const world = await open()
      let step = 0
      const deps = world.watched(async () => {
        if (++step !== n) return
        await world.catalog.failRun(RUN_ID, { code: 'CANCELLED', message: 'cancelled', retryable: false })
        await finishRun(RUN_ID, world.deps, signal).catch(error => expect(error).toMatchObject({ code: 'VM_BUSY' }))
      })
      // It ends with RUN_ENDED, or with whatever it finds missing first; or it had nothing left to do.
      await story(RUN_ID, deps, signal).catch(() => {})
      if (step < n) break
      await finishInTheEnd(world)
      await expectNothingLeft(world)
      expect(world.platform.vms.size, `cancelled at step ${n}`).toBe(1)
      expect(world.catalog.run.state).toBe('cancelled')
    }
  })

  test('crashed at any step and then cancelled leaves nothing behind', async () => {
    for (let n = 1; ; n++) {
      const world = await open()
      if (!(await crashAt(n, story, world))) break
      await world.catalog.failRun(RUN_ID, { code: 'CANCELLED', message: 'cancelled', retryable: false })
      // The queue delivers the lost job again, before or after the clean-up.
      const again = () => story(RUN_ID, world.deps, signal).catch(error => expect(error).toMatchObject({ code: 'RUN_ENDED' }))
      if (n % 2 === 0) await again()
      await finishInTheEnd(world)
      if (n % 2 === 1) await again()
      await expectNothingLeft(world)
      expect(world.platform.vms.size, `crash at step ${n}`).toBe(1)
    }
  })

  test('crashed at any step and cancelled when the platform has forgotten it leaves nothing behind', async () => {
    for (let n = 1; ; n++) {
      const world = await open()
      if (!(await crashAt(n, story, world))) break
      world.platform.muchLater()
      expireUnknownLeases(world)
      await world.catalog.failRun(RUN_ID, { code: 'CANCELLED', message: 'cancelled', retryable: false })
      await finishInTheEnd(world)
      await expectNothingLeft(world)
      expect([...world.platform.vms.keys()], `crash at step ${n}`).toEqual(['vm-1'])
    }
  })

  test('cancelled and closed while the worker sleeps at any step, which wakes up and is killed when it makes something', async () => {
    for (let n = 1; ; n++) {
      const world = await open()
      let step = 0
      let killed = false
      const deps = world.watched(async at => {
        killed ||= step >= n && at.startsWith('during')
        if (killed) throw new Cut()
        if (++step !== n || at.startsWith('during')) return
        await world.catalog.failRun(RUN_ID, { code: 'CANCELLED', message: 'cancelled', retryable: false })
        await finishInTheEnd(world)
        // The platform forgets tokens.
        world.platform.muchLater()
      })
      await story(RUN_ID, deps, signal).catch(() => {})
      if (step < n) break
      if (world.catalog.run.state !== 'cancelled') continue
      // The queue delivers the job of the killed worker again.
      await story(RUN_ID, world.deps, signal).catch(error => expect(error).toMatchObject({ code: 'RUN_ENDED' }))
      await expectNothingLeft(world)
      expect([...world.platform.vms.keys()], `slept at step ${n}`).toEqual(['vm-1'])
    }
  })

  test('done by another worker, to a good end, while the first one sleeps at any step', async () => {
    for (let n = 1; ; n++) {
      const world = await open()
      let step = 0
      let killed = false
      const deps = world.watched(async at => {
        // It wakes up, and is killed when it makes something.
        killed ||= step >= n && at.startsWith('during')
        if (killed) throw new Cut()
        if (++step !== n || at.startsWith('during')) return
        await story(RUN_ID, world.deps, signal)
        world.catalog.run = { ...world.catalog.run, state: 'finishing', outcome: 'succeeded' }
        await finishInTheEnd(world)
      })
      await story(RUN_ID, deps, signal).catch(() => {})
      if (step < n) break
      if (world.catalog.run.state !== 'succeeded') continue
      await story(RUN_ID, world.deps, signal).catch(error => expect(error).toMatchObject({ code: 'RUN_ENDED' }))
      await expectNothingLeft(world)
      expect(world.platform.vms.size, `slept at step ${n}`).toBe((world.catalog.run.targetPlatformVmId ?? 'vm-1') === 'vm-1' ? 1 : 2)
    }
  })
})

test('a new VM that is asked for again once the platform has forgotten the token, by a worker that slept through a whole restore, is deleted', async () => {
  let twice = 0
  for (let n = 1; ; n++) {
    const world = await restoreWorld({ target: 'new-vm' })
    let step = 0
    const create = world.platform.createVm.bind(world.platform)
    const deps = world.watched(async at => {
      if (at.startsWith('during') || ++step !== n) return
      await prepareRestore(RUN_ID, world.deps, signal)
      world.catalog.run = { ...world.catalog.run, state: 'finishing', outcome: 'succeeded' }
      await finishInTheEnd(world)
      world.platform.muchLater()
      world.platform.createVm = async (...args) => {
        twice += 1
        return create(...args)
      }
    })
    await prepareRestore(RUN_ID, deps, signal).catch(error => expect(error).toMatchObject({ code: 'RUN_ENDED' }))
    if (step < n) break
    expect([...world.platform.vms.keys()], `slept at step ${n}`).toEqual(['vm-1', world.catalog.run.targetPlatformVmId])
  }
  expect(twice).toBeGreaterThan(0)
})

test('sealing crashed at any step makes the same point, once', async () => {
  const open = async (): Promise<StoryWorld> => {
    const world = await storyWorld({ kind: 'backup' })
    await prepareBackup(RUN_ID, world.deps, signal)
    world.catalog.run = { ...world.catalog.run, state: 'sealing' }
    return world
  }
  const whole = await open()
  await sealRestorePoint(RUN_ID, whole.deps, signal)
  for (let n = 1; ; n++) {
    const world = await open()
    if (!(await crashAt(n, sealRestorePoint, world))) break
    await Promise.all([1, 2].map(() => sealRestorePoint(RUN_ID, world.deps, signal)))
    expect(world.catalog.sealed).toEqual(whole.catalog.sealed)
    expect([...world.store.objects.keys()].toSorted()).toEqual([...whole.store.objects.keys()].toSorted())
  }
})

test('sealing crashed at any step of a run that then fails leaves neither manifest nor root, or a whole point that is kept, whoever comes last', async () => {
  for (const again of [false, true]) {
    for (let n = 1; ; n++) {
      const world = await storyWorld({ kind: 'backup' })
      const before = [...world.store.objects.keys()]
      await prepareBackup(RUN_ID, world.deps, signal)
      world.catalog.run = { ...world.catalog.run, state: 'sealing' }
      if (!(await crashAt(n, sealRestorePoint, world)) || world.catalog.sealed !== null) break
      await world.catalog.failRun(RUN_ID, { code: 'STORE_FULL', message: 'full', retryable: false })
      await finishInTheEnd(world)
      if (again) await sealRestorePoint(RUN_ID, world.deps, signal)
      const left = [...world.store.objects.keys()].filter(key => !before.includes(key))
      const [key] = await world.deps.repository.listManifests()
      const roots = key === undefined ? [] : (await world.deps.repository.getManifest(key)).images.map(({ rootKey }) => rootKey)
      expect(left, `crash at step ${n}`).toEqual(key === undefined ? [] : [...roots, key])
      expect(world.catalog.run.resources).toEqual({
        snapshotName: null,
        snapshotId: null,
        leaseId: null,
        leaseToken: null,
        createdVmId: null,
      })
    }
  }
})

test('finishing crashed at any step ends the run and leaves nothing', async () => {
  for (let n = 1; ; n++) {
    const world = await storyWorld({ kind: 'backup' })
    await prepareBackup(RUN_ID, world.deps, signal)
    await world.catalog.failRun(RUN_ID, { code: 'STORE_FULL', message: 'full', retryable: false })
    if (!(await crashAt(n, finishRun, world))) break
    await Promise.all([1, 2].map(() => finishRun(RUN_ID, world.deps, signal)))
    expect(world.catalog.run).toMatchObject({ state: 'failed', reason: 'STORE_FULL' })
    await expectNothingLeft(world)
  }
})
