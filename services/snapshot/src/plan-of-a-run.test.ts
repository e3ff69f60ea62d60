import { PageRefs } from '@varve/block-map'
import type { NewRange } from '@varve/catalog-client'
import { Cut } from '@varve/range-worker/testing'
import { describe, expect, test } from 'vitest'
import { prepareBackup } from './prepare-backup.ts'
import { sealRestorePoint } from './seal-restore-point.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'
import { type StoryWorld, storyWorld, twoDisks } from './testing/story-world.ts'

/** A run copies one plan, made from one snapshot, of exactly the disks in it. */

const KiB = 1024
const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
const SINCE = (1n << 32n) | 7n

/** A VM with a sealed point, so that its next backup is incremental. */
async function world(): Promise<StoryWorld> {
  const it = await storyWorld({ kind: 'backup' })
  const { catalog, deps, platform } = it
  for (const { id } of twoDisks()) platform.tracked.add(`vm-1/${id}`)
  platform.inc = 7n
  const images = twoDisks().map(({ id, size }) => ({
    imageId: `parent-${id}`,
    diskId: id,
    diskSize: size,
    blockSize: 256 * KiB,
    cbt: true,
  }))
  for (const { imageId, diskSize, blockSize } of images) {
    catalog.roots.set(imageId, await deps.repository.putRoot({ imageId, diskSize, blockSize, pages: PageRefs.none }))
  }
  catalog.parent = { restorePointId: 'point', checkpointId: String(SINCE), images }
  return it
}

const extent = (index: number) => ({ offset: index * 64 * KiB, length: 64 * KiB })
const offsets = ({ catalog }: StoryWorld): number[] =>
  [...catalog.ranges.values()].flatMap((range: NewRange) => range.extents.map(({ offset }) => offset / (64 * KiB))).toSorted()

/** Do something once, just before this call. */
function once(it: StoryWorld, step: string, act: () => Promise<void>): SnapshotDeps {
  let done = false
  return it.watched(async at => {
    if (done || at !== step) return
    done = true
    await act()
  })
}

/** A process that dies at this call. */
function dyingAt(it: StoryWorld, step: string): SnapshotDeps {
  let dead = false
  return it.watched(at => {
    dead ||= at === step
    if (dead) throw new Cut()
  })
}

describe('a snapshot that went while a worker stalled, so that another worker took a new one', () => {
  // Of the second disk nothing changed. What the later snapshot has more was written between the two.
  const arranged = async (): Promise<StoryWorld> => {
    const it = await world()
    it.platform.answer = ({ diskId, snapshot }) =>
      diskId === 'virtio0' ? [snapshot.id === 'snapshot-1' ? [extent(0)] : [extent(0), extent(9)]] : []
    return it
  }
  const steps = ['after platform.createSnapshot', 'before catalog.recordSnapshot', 'before catalog.addImages']

  test.each([...steps, 'before catalog.addRanges', 'before catalog.planned'])(
    '%s, and died: the first one may not go on with what is recorded of the other',
    async step => {
      const it = await arranged()
      const slow = once(it, step, async () => {
        it.platform.snapshots.clear()
        await expect(prepareBackup(RUN_ID, dyingAt(it, 'before catalog.addImages'), signal)).rejects.toThrow(Cut)
      })
      // It has not yet said which snapshot is its own, so that its word comes last and the plan is its own.
      const unnoted = step === 'after platform.createSnapshot'
      if (!unnoted) await expect(prepareBackup(RUN_ID, slow, signal)).rejects.toMatchObject({ code: 'PLAN_CHANGED' })
      else await prepareBackup(RUN_ID, slow, signal).catch(error => expect(error).toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' }))
      await prepareBackup(RUN_ID, it.deps, signal)
      expect(offsets(it)).toEqual([0, 9])
      const [snapshotId] = it.platform.snapshots.keys()
      expect(it.catalog.run).toMatchObject({ state: 'copying', checkpointId: String(SINCE + 2n), resources: { snapshotId } })
    },
  )

  test.each([...steps, 'before catalog.addRanges', 'before catalog.planned', 'after catalog.planned'])(
    '%s: the plan and the checkpoint are of the same snapshot',
    async step => {
      const it = await arranged()
      const slow = once(it, step, async () => {
        it.platform.snapshots.clear()
        await prepareBackup(RUN_ID, it.deps, signal)
      })
      await prepareBackup(RUN_ID, slow, signal)
      const { run } = it.catalog
      expect(run.state).toBe('copying')
      const first = run.resources.snapshotId === 'snapshot-1'
      expect(first).toBe(step === 'after catalog.planned')
      expect(offsets(it)).toEqual(first ? [0] : [0, 9])
      expect(BigInt(run.checkpointId ?? 0)).toBe(SINCE + (first ? 1n : 2n))
    },
  )
})

describe('a plan that an earlier attempt stored in part', () => {
  test('is not mixed with another answer of the platform', async () => {
    const it = await world()
    it.platform.answer = ({ diskId }) => (diskId === 'virtio0' ? [[extent(0)]] : [])
    await expect(prepareBackup(RUN_ID, dyingAt(it, 'before catalog.planned'), signal)).rejects.toThrow(Cut)
    it.platform.answer = ({ diskId }) => (diskId === 'virtio0' ? [[extent(0), extent(9)]] : [])
    await expect(prepareBackup(RUN_ID, it.deps, signal)).rejects.toMatchObject({ code: 'PLAN_CHANGED', retryable: true })
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(offsets(it)).toEqual([0, 9])
    expect(it.platform.snapshots.size).toBe(1)
  })

  test('is not mixed with one that has fewer ranges', async () => {
    const it = await world()
    it.platform.answer = () => [[extent(0)]]
    await expect(prepareBackup(RUN_ID, dyingAt(it, 'before catalog.planned'), signal)).rejects.toThrow(Cut)
    it.platform.answer = ({ diskId }) => (diskId === 'virtio0' ? [[extent(0)]] : [])
    await expect(prepareBackup(RUN_ID, it.deps, signal)).rejects.toMatchObject({ code: 'PLAN_CHANGED' })
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(offsets(it)).toEqual([0])
  })

  test('is dropped when it cannot be made again', async () => {
    const it = await world()
    it.platform.answer = () => [[extent(0)]]
    await expect(prepareBackup(RUN_ID, dyingAt(it, 'before catalog.planned'), signal)).rejects.toThrow(Cut)
    it.platform.answer = ({ diskId, since }) => (diskId === 'virtio0' && since !== 0n ? 'CBT_EXPIRED' : [[extent(0)]])
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(it.catalog.run.images.map(image => [image.kind, image.reason])).toEqual([
      ['full', 'cbt-expired'],
      ['incremental', null],
    ])
  })

  test('that reads a whole disk without asking does so again; such a disk has no checkpoint', async () => {
    const it = await world()
    it.platform.answer = ({ diskId }) => (diskId === 'virtio1' ? 'CBT_EXPIRED' : [[extent(0)]])
    await expect(prepareBackup(RUN_ID, dyingAt(it, 'before catalog.planned'), signal)).rejects.toThrow(Cut)
    it.platform.answer = () => [[extent(0)]]
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(it.catalog.run.images[1]).toMatchObject({ reason: 'cbt-expired', since: null, cbt: false })
    const ranges = [...it.catalog.ranges.values()].filter(range => range.imageId === 'image-of-virtio1')
    expect(ranges.map(range => range.bytes)).toEqual([2 * 1024 * KiB + 512])
    it.catalog.run = { ...it.catalog.run, state: 'sealing' }
    await sealRestorePoint(RUN_ID, it.deps, signal)
    expect(it.catalog.sealed?.images.map(image => image.cbt)).toEqual([true, false])
  })
})

describe('the disks are those of the snapshot', () => {
  type Disk = ReturnType<typeof twoDisks>[number]
  const withDisks = async (disks: readonly Disk[], step = 'before platform.createSnapshot'): Promise<StoryWorld> => {
    const it = await world()
    const change = async (): Promise<void> => {
      it.platform.vms.set('vm-1', { ...(await it.platform.getVm('vm-1')), disks })
    }
    await prepareBackup(RUN_ID, once(it, step, change), signal)
    return it
  }
  const added: Disk = { id: 'virtio2', size: 1024 * KiB, datastoreId: 'store' }

  test('one attached after the VM was looked at is read whole, as nobody knows of its tracking', async () => {
    const it = await withDisks([...twoDisks(), added])
    expect(it.catalog.run.images.map(image => [image.diskId, image.kind, image.reason])).toEqual([
      ['virtio0', 'incremental', null],
      ['virtio1', 'incremental', null],
      ['virtio2', 'full', 'cbt-off'],
    ])
  })

  test('one attached that is to be left out is left out with a note', async () => {
    const it = await withDisks([...twoDisks(), { ...added, excluded: 'shared' }])
    expect(it.catalog.run.images).toHaveLength(2)
    expect(it.catalog.run.notes).toContain('Disk virtio2 is left out: it is shared.')
  })

  test('one attached while the job was dead is not part of the snapshot that there is', async () => {
    const it = await world()
    await expect(prepareBackup(RUN_ID, dyingAt(it, 'before catalog.addImages'), signal)).rejects.toThrow(Cut)
    it.platform.vms.set('vm-1', { ...(await it.platform.getVm('vm-1')), disks: [...twoDisks(), added] })
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(it.catalog.run).toMatchObject({ state: 'copying', images: [{ diskId: 'virtio0' }, { diskId: 'virtio1' }] })
    expect(it.catalog.run.notes).toContain('Disk virtio2 is left out: it is not part of the snapshot.')
  })

  test('one detached is left out with a note', async () => {
    const it = await withDisks(twoDisks().slice(1))
    expect(it.catalog.run.images.map(image => image.diskId)).toEqual(['virtio1'])
    expect(it.catalog.run.notes).toEqual(['Disk virtio0 is left out: it is not part of the snapshot.'])
  })

  test('sizes are those of the snapshot, and are checked', async () => {
    const [first, second] = twoDisks()
    const grown = await withDisks([{ ...first!, size: first!.size + 512 }, second!])
    expect(grown.catalog.run.images[0]).toMatchObject({ reason: 'disk-resized', diskSize: first!.size + 512 })
    await expect(withDisks([{ ...first!, size: 1000 }, second!])).rejects.toMatchObject({ code: 'DISK_SIZE_INVALID' })
    await expect(withDisks([])).rejects.toMatchObject({ code: 'NO_DISKS' })
  })
})
