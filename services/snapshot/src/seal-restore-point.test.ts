import { PageRefs } from '@varve/block-map'
import { restorePointIdOf } from '@varve/repository'
import { expect, test } from 'vitest'
import { finishRun } from './finish-run.ts'
import { prepareBackup } from './prepare-backup.ts'
import { sealRestorePoint } from './seal-restore-point.ts'
import { type StoryWorld, storyWorld, twoDisks } from './testing/story-world.ts'

const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
const BLOCK = 256 * 1024

/** An incremental on an older point, all copied. */
async function incrementalToSeal(): Promise<StoryWorld> {
  const world = await storyWorld({ kind: 'backup' })
  const { platform, catalog, deps } = world
  platform.inc = 7n
  const images = twoDisks().map(({ id, size }) => ({ imageId: `parent-${id}`, diskId: id, diskSize: size, blockSize: BLOCK, cbt: true }))
  for (const { id } of twoDisks()) platform.tracked.add(`vm-1/${id}`)
  for (const { imageId, diskSize, blockSize } of images) {
    catalog.roots.set(imageId, await deps.repository.putRoot({ imageId, diskSize, blockSize, pages: PageRefs.none }))
  }
  catalog.parent = { restorePointId: 'point', checkpointId: String((1n << 32n) | 7n), images }
  await prepareBackup(RUN_ID, deps, signal)
  catalog.run = { ...catalog.run, state: 'sealing' }
  return world
}

const manifests = ({ deps }: StoryWorld) => deps.repository.listManifests()

async function cancelled({ catalog, deps }: StoryWorld): Promise<void> {
  await catalog.failRun(RUN_ID, { code: 'CANCELLED', message: 'cancelled', retryable: false })
  await finishRun(RUN_ID, deps, signal)
}

/** Do something at each step of a sealing, one step per world. */
async function atEachStep(act: (world: StoryWorld) => Promise<void>, then: (world: StoryWorld, n: number) => Promise<void>): Promise<void> {
  for (let n = 1; ; n++) {
    const world = await incrementalToSeal()
    let step = 0
    const deps = world.watched(async () => {
      if (++step === n) await act(world)
    })
    await sealRestorePoint(RUN_ID, deps, signal).catch(error => expect(error).toMatchObject({ code: 'RUN_ENDED' }))
    if (step < n) return
    await then(world, n)
  }
}

test('sealed by another worker at any moment: the point is no parent of its own', async () => {
  const sealByAnother = async (world: StoryWorld): Promise<void> => {
    await sealRestorePoint(RUN_ID, world.deps, signal)
    // From now on the newest point is this one.
    world.catalog.parent = { ...world.catalog.parent!, restorePointId: restorePointIdOf(RUN_ID) }
  }
  await atEachStep(sealByAnother, async (world, n) => {
    const [key, ...others] = await manifests(world)
    expect(others).toEqual([])
    expect(await world.deps.repository.getManifest(key!), `at step ${n}`).toMatchObject({ parentId: 'point' })
  })
})

test('cancelled at any moment: no manifest is left that a rebuilt catalog would offer', async () => {
  await atEachStep(cancelled, async (world, n) => {
    expect(await manifests(world), `at step ${n}`).toEqual(world.catalog.sealed === null ? [] : [expect.anything()])
  })
})

test('killed between manifest and catalog, then cancelled: the manifest may be that of a seal which the catalog has lost, so it stays with its roots', async () => {
  for (const late of [false, true]) {
    const world = await incrementalToSeal()
    const killed = world.watched(at => {
      if (at === 'before catalog.seal') throw new Error('killed')
    })
    if (!late) await expect(sealRestorePoint(RUN_ID, killed, signal)).rejects.toThrow('killed')
    else {
      // It was cancelled and cleaned up while the job slept, wrote the manifest after all, and was killed then.
      const key = await world.deps.repository.listManifests()
      expect(key).toEqual([])
      await cancelled(world)
      world.catalog.run = { ...world.catalog.run, state: 'sealing' }
      await expect(sealRestorePoint(RUN_ID, killed, signal)).rejects.toThrow('killed')
      world.catalog.run = { ...world.catalog.run, state: 'cancelled' }
    }
    expect(await manifests(world)).toHaveLength(1)
    if (late) await sealRestorePoint(RUN_ID, world.deps, signal)
    else await cancelled(world)
    const [key = ''] = await manifests(world)
    for (const { rootKey } of (await world.deps.repository.getManifest(key)).images)
      await world.deps.repository.getRoot(rootKey, { signal })
  }
})
