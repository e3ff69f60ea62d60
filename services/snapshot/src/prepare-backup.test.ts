import { PageRefs } from '@varve/block-map'
import type { ParentPoint } from '@varve/catalog-client'
import { describe, expect, test } from 'vitest'
import { prepareBackup } from './prepare-backup.ts'
import { type StoryWorld, storyWorld, twoDisks } from './testing/story-world.ts'

const KiB = 1024
const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
const AT = (generation: bigint, inc: bigint): bigint => (generation << 32n) | inc

async function world(options: Record<string, unknown> = {}): Promise<StoryWorld> {
  return storyWorld({ kind: 'backup', options })
}

/** Give the VM a sealed point with these disks, whose roots are in the repository. */
async function withParent({ catalog, deps, platform }: StoryWorld, change: Partial<ParentPoint> = {}): Promise<void> {
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
  catalog.parent = { restorePointId: 'point', checkpointId: String(AT(1n, 7n)), images, ...change }
}

const kinds = ({ catalog }: StoryWorld) => catalog.run.images.map(({ diskId, kind, reason }) => [diskId, kind, reason])

test('the first backup: tracking is turned on, then a snapshot, a lease, and ranges over what is allocated', async () => {
  const it = await world()
  it.platform.answer = ({ diskId }) =>
    diskId === 'virtio0' ? [[{ offset: 0, length: 65536 }], [{ offset: 290 << 20, length: 1 << 20 }]] : []
  await prepareBackup(RUN_ID, it.deps, signal)
  const { run, ranges } = it.catalog
  expect(run).toMatchObject({ state: 'copying', checkpointId: String(AT(1n, 1n)), config: { name: 'app' } })
  expect(run.resources).toMatchObject({ snapshotName: `varve-${RUN_ID}`, snapshotId: 'snapshot-1', leaseId: 'backup-lease-2' })
  expect(run.notes).toEqual(['virtio0', 'virtio1'].map(id => `Changed block tracking was turned on for disk ${id}.`))
  expect(kinds(it)).toEqual([
    ['virtio0', 'full', 'first'],
    ['virtio1', 'full', 'first'],
  ])
  expect([...ranges.values()]).toEqual([
    {
      imageId: 'image-of-virtio0',
      index: 0,
      firstPage: 0,
      pageCount: 2,
      extents: [
        { offset: 0, length: 65536 },
        { offset: 290 << 20, length: 1 << 20 },
      ],
      bytes: 65536 + (1 << 20),
    },
  ])
  expect(it.platform.calls).toEqual(['setCbt enable virtio0,virtio1', 'changedAreas virtio0 since 0', 'changedAreas virtio1 since 0'])
})

test('the next one asks since the checkpoint of the last sealed point', async () => {
  const it = await world()
  await withParent(it)
  await prepareBackup(RUN_ID, it.deps, signal)
  expect(it.catalog.run.images.map(image => [image.kind, image.parentImageId])).toEqual([
    ['incremental', 'parent-virtio0'],
    ['incremental', 'parent-virtio1'],
  ])
  expect(it.platform.calls).toEqual([`changedAreas virtio0 since ${AT(1n, 7n)}`, `changedAreas virtio1 since ${AT(1n, 7n)}`])
})

describe('a full of just the disk in doubt, with its reason', () => {
  test('tracking off and to be left off: the whole disk, nothing is asked', async () => {
    const it = await world({ enableCbt: false })
    await withParent(it)
    it.platform.tracked.delete('vm-1/virtio0')
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(kinds(it)).toEqual([
      ['virtio0', 'full', 'cbt-off'],
      ['virtio1', 'incremental', null],
    ])
    expect(it.platform.calls).toEqual([`changedAreas virtio1 since ${AT(1n, 7n)}`])
    const bytes = [...it.catalog.ranges.values()].filter(range => range.imageId === 'image-of-virtio0').map(range => range.bytes)
    expect(bytes).toEqual([256 << 20, 44 << 20])
  })

  test('tracking turned on by this run', async () => {
    const it = await world()
    await withParent(it)
    it.platform.tracked.delete('vm-1/virtio0')
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(kinds(it)).toEqual([
      ['virtio0', 'full', 'cbt-enabled-now'],
      ['virtio1', 'incremental', null],
    ])
  })

  test('an answer that cannot be true, even on its last page', async () => {
    const it = await world()
    await withParent(it)
    it.platform.answer = ({ diskId }) => (diskId === 'virtio0' ? 'CBT_ANSWER_INVALID' : [[]])
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(kinds(it)).toEqual([
      ['virtio0', 'full', 'cbt-invalid'],
      ['virtio1', 'incremental', null],
    ])
  })

  test('a checkpoint the platform no longer knows', async () => {
    const it = await world()
    await withParent(it)
    it.platform.answer = ({ diskId, since }) => (diskId === 'virtio0' && since !== 0n ? 'CBT_EXPIRED' : [[]])
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(kinds(it)).toEqual([
      ['virtio0', 'full', 'cbt-expired'],
      ['virtio1', 'incremental', null],
    ])
    expect(it.platform.calls).not.toContain('setCbt reset all')
  })

  test('a root that is gone, also when this process still remembers it', async () => {
    const it = await world()
    await withParent(it)
    for (const key of it.catalog.roots.values()) await it.deps.repository.getRoot(key)
    for (const key of it.store.objects.keys()) if (key.includes('parent-virtio1')) it.store.objects.delete(key)
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(kinds(it)).toEqual([
      ['virtio0', 'incremental', null],
      ['virtio1', 'full', 'parent-missing'],
    ])
  })

  test.each(['MAP_DAMAGED', 'OBJECT_NOT_FOUND', 'PARENT_DIFFERS'])('a parent that the last backup could not use: %s', async reason => {
    const it = await world()
    await withParent(it)
    it.catalog.lastRuns.push({ ...it.catalog.run, state: 'failed', reason, endedAt: '2026-01-01T00:00:00.000Z' })
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(kinds(it).map(([, , reason]) => reason)).toEqual(['parent-missing', 'parent-missing'])
  })
})

test('tracking that cannot even say what is allocated is reset, and a second snapshot begins the new generation', async () => {
  const it = await world()
  await withParent(it)
  it.platform.answer = ({ diskId, snapshot }) => (diskId === 'virtio1' && snapshot.checkpointId < AT(2n, 0n) ? 'CBT_EXPIRED' : [[]])
  await prepareBackup(RUN_ID, it.deps, signal)
  expect(kinds(it)).toEqual([
    ['virtio0', 'full', 'cbt-expired'],
    ['virtio1', 'full', 'cbt-expired'],
  ])
  expect(it.platform.calls.filter(call => call.startsWith('setCbt'))).toEqual(['setCbt reset all'])
  expect(it.catalog.run.resources.snapshotId).toBe('snapshot-2')
  expect(it.catalog.run.checkpointId).toBe(String(AT(2n, 9n)))
  expect(it.catalog.run.notes).toContain('Changed block tracking had expired and was reset.')
})

test('where a reset does not help the whole disk is read', async () => {
  const it = await world()
  await withParent(it)
  it.platform.answer = ({ diskId }) => (diskId === 'virtio1' ? 'CBT_EXPIRED' : [[]])
  await prepareBackup(RUN_ID, it.deps, signal)
  expect(it.platform.calls.filter(call => call === 'setCbt reset all')).toHaveLength(1)
  expect(kinds(it)[1]).toEqual(['virtio1', 'full', 'cbt-expired'])
  expect([...it.catalog.ranges.values()]).toMatchObject([{ imageId: 'image-of-virtio1', bytes: 2 * 1024 * KiB + 512 }])
})

describe('what cannot be backed up', () => {
  const refused = async (change: Parameters<typeof changeVm>[1]): Promise<unknown> => {
    const it = await world()
    await changeVm(it, change)
    const error = await prepareBackup(RUN_ID, it.deps, signal).catch(error => error)
    expect(it.platform.snapshots.size).toBe(0)
    return error
  }
  const changeVm = async ({ platform }: StoryWorld, change: Partial<Awaited<ReturnType<typeof platform.getVm>>>): Promise<void> => {
    platform.vms.set('vm-1', { ...(await platform.getVm('vm-1')), ...change })
  }

  test('excluded VMs, with the words of the platform', async () => {
    expect(await refused({ exclusions: ['turbo', 'internal-snapshots'] })).toMatchObject({
      code: 'VM_NOT_SUPPORTED',
      message: expect.stringContaining('turbo, internal-snapshots'),
    })
    expect(await refused({ power: 'other' })).toMatchObject({ code: 'VM_NOT_SUPPORTED' })
  })

  test('a VM with a task under way, for now', async () => {
    expect(await refused({ busy: true })).toMatchObject({ code: 'VM_BUSY', retryable: true })
  })

  test('disks of impossible sizes, and no disk at all', async () => {
    for (const size of [0, 1000, -512, Number.NaN]) {
      expect(await refused({ disks: [{ id: 'ide0', size, datastoreId: '' }] })).toMatchObject({
        code: 'DISK_SIZE_INVALID',
        retryable: false,
      })
    }
    expect(await refused({ disks: [{ id: 'ide0', size: 512, datastoreId: '', excluded: 'rdm' }] })).toMatchObject({ code: 'NO_DISKS' })
  })

  test('single disks are left out with a note', async () => {
    const it = await world()
    await changeVm(it, { disks: [...twoDisks(), { id: 'ide1', size: 512, datastoreId: '', excluded: 'shared' }] })
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(it.catalog.run.images).toHaveLength(2)
    expect(it.catalog.run.notes).toContain('Disk ide1 is left out: it is shared.')
  })
})

describe('another disk in the slot of one', () => {
  test('is read whole without asking its tracking, which starts anew with the next backup', async () => {
    const it = await world()
    await withParent(it)
    const config = {
      disks: [
        { id: 'virtio0', identity: 'a' },
        { id: 'virtio1', identity: 'b' },
      ],
    }
    it.catalog.pointConfig = { config, platformId: 'platform', platformVmId: 'vm-1', checkpointId: it.catalog.parent!.checkpointId }
    it.platform.identities.set('virtio0', 'a').set('virtio1', 'another')
    await prepareBackup(RUN_ID, it.deps, signal)
    expect(kinds(it)).toEqual([
      ['virtio0', 'incremental', null],
      ['virtio1', 'full', 'disk-replaced'],
    ])
    expect(it.platform.calls).toEqual([`changedAreas virtio0 since ${AT(1n, 7n)}`, 'setCbt disable virtio1'])
    expect([...it.catalog.ranges.values()].filter(range => range.imageId === 'image-of-virtio1').map(range => range.bytes)).toEqual([
      twoDisks()[1]!.size,
    ])
    // No checkpoint of it belongs to the point.
    expect(it.catalog.run.images[1]).toMatchObject({ since: null })
  })
})

test('a run that was cancelled before it began takes no snapshot', async () => {
  const it = await storyWorld({ kind: 'backup', cancelRequested: true })
  await expect(prepareBackup(RUN_ID, it.deps, signal)).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(it.platform.snapshots.size).toBe(0)
})
