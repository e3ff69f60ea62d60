import { PageRefs } from '@varve/block-map'
import type { PointImage, RestoreOptions, RestorePoint } from '@varve/catalog-client'
import { Cut } from '@varve/range-worker/testing'
import { describe, expect, test } from 'vitest'
import { finishRun } from './finish-run.ts'
import { prepareRestore } from './prepare-restore.ts'
import { renewalRound } from './renew-leases.ts'
import { type StoryWorld, storyWorld, twoDisks } from './testing/story-world.ts'

const signal = new AbortController().signal
const RUN_ID = '00000000-0000-4000-8000-000000000001'
const BLOCK = 256 * 1024
const SINCE = (1n << 32n) | 2n

/** A point of two disks: virtio0 has pages 0 and 1 (of 2), virtio1 has nothing. */
async function world(options: RestoreOptions, cbt = true): Promise<StoryWorld> {
  const it = await storyWorld({ kind: 'restore', options, restorePointId: 'point' })
  const { platform, catalog, deps } = it
  for (const { id } of twoDisks()) platform.tracked.add(`vm-1/${id}`)
  await platform.power('vm-1', 'off')
  platform.inc = 3n
  const images: PointImage[] = []
  for (const { id: diskId, size: diskSize } of twoDisks()) {
    const imageId = `source-${diskId}`
    const ref = { mapId: 'a'.repeat(32), offset: 32, length: 400, hash: new Uint8Array(32) }
    const pages = diskId === 'virtio0' ? [5, 7].map((storedBlocks, pageIndex) => ({ ...ref, pageIndex, storedBlocks })) : []
    catalog.roots.set(imageId, await deps.repository.putRoot({ imageId, diskSize, blockSize: BLOCK, pages: PageRefs.from(pages) }))
    images.push({ imageId, diskId, diskSize, blockSize: BLOCK, kind: 'full', reason: 'first', read: 0, stored: 0, cbt })
  }
  catalog.point = { id: 'point', images } as unknown as RestorePoint
  catalog.pointConfig = { config: { disks: twoDisks() }, platformId: 'platform', platformVmId: 'vm-1', checkpointId: String(SINCE) }
  return it
}

const planned = ({ catalog }: StoryWorld) =>
  [...catalog.ranges.values()].map(({ imageId, firstPage, pageCount, extents, bytes }) => ({
    imageId,
    firstPage,
    pageCount,
    extents,
    bytes,
  }))

describe('to a new VM', () => {
  test('made from the saved configuration; only what is not zero is planned', async () => {
    const it = await world({ target: 'new-vm' })
    await prepareRestore(RUN_ID, it.deps, signal)
    const { run } = it.catalog
    expect(run).toMatchObject({
      state: 'copying',
      targetPlatformVmId: 'new-vm-1',
      resources: { createdVmId: 'new-vm-1', snapshotName: null },
    })
    expect(it.platform.vms.get('new-vm-1')?.name).toBe('app-restored-20260101-000000')
    expect([...it.platform.leases]).toEqual([[expect.stringContaining('restore'), 'new-vm-1']])
    expect(run.images).toMatchObject([
      { kind: 'full', sourceImageId: 'source-virtio0' },
      { kind: 'full', sourceImageId: 'source-virtio1' },
    ])
    expect(planned(it)).toEqual([{ imageId: 'image-of-virtio0', firstPage: 0, pageCount: 2, extents: [], bytes: 12 * BLOCK }])
  })

  test('under the name that was wished', async () => {
    const it = await world({ target: 'new-vm', name: 'wished' })
    await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.platform.vms.get('new-vm-1')?.name).toBe('wished')
  })

  test('a failed one is deleted by finish-run, a restored one is powered on where wished', async () => {
    for (const outcome of ['failed', 'succeeded'] as const) {
      const it = await world({ target: 'new-vm', powerOn: true })
      await prepareRestore(RUN_ID, it.deps, signal)
      it.catalog.run = { ...it.catalog.run, state: 'finishing', outcome }
      await finishRun(RUN_ID, it.deps, signal)
      expect(it.platform.vms.get('new-vm-1')?.power).toBe(outcome === 'failed' ? undefined : 'on')
      expect(it.platform.vms.has('vm-1')).toBe(true)
      expect(it.platform.leases.size).toBe(0)
    }
  })
})

describe('to the original', () => {
  test('must be off', async () => {
    const it = await world({ target: 'original' })
    await it.platform.power('vm-1', 'on')
    await expect(prepareRestore(RUN_ID, it.deps, signal)).rejects.toMatchObject({ code: 'VM_NOT_OFF', retryable: false })
    expect(it.platform.leases.size).toBe(0)
  })

  test('every byte of every disk is planned, because what is zero must become zero', async () => {
    const it = await world({ target: 'original' })
    await prepareRestore(RUN_ID, it.deps, signal)
    const [disk0, disk1] = twoDisks()
    expect(planned(it)).toEqual([
      { imageId: 'image-of-virtio0', firstPage: 0, pageCount: 2, extents: [{ offset: 0, length: disk0!.size }], bytes: 12 * BLOCK },
      { imageId: 'image-of-virtio1', firstPage: 0, pageCount: 1, extents: [{ offset: 0, length: disk1!.size }], bytes: 0 },
    ])
    expect(it.platform.calls).toEqual(['editVm vm-1'])
  })

  test('a disk that is missing or too small is refused, a larger one is told', async () => {
    const it = await world({ target: 'original' })
    const vm = await it.platform.getVm('vm-1')
    const sizes = (change: number) => ({ ...vm, disks: vm.disks.map(disk => ({ ...disk, size: disk.size + change })) })
    it.platform.vms.set('vm-1', { ...vm, disks: vm.disks.slice(1) })
    await expect(prepareRestore(RUN_ID, it.deps, signal)).rejects.toMatchObject({ code: 'TARGET_DISK_MISSING' })
    it.platform.vms.set('vm-1', sizes(-512))
    await expect(prepareRestore(RUN_ID, it.deps, signal)).rejects.toMatchObject({ code: 'TARGET_DISK_SMALLER' })
    // Nothing of the VM was touched for a restore that can't be.
    expect(it.platform.calls).toEqual([])
    it.platform.vms.set('vm-1', sizes(512))
    await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.catalog.run.notes[0]).toContain('Disk virtio0 is larger than in the restore point; the last 512 bytes')
  })
})

test('a disk that the point lacks is left alone, and told', async () => {
  const it = await world({ target: 'original' })
  const vm = await it.platform.getVm('vm-1')
  it.platform.vms.set('vm-1', { ...vm, disks: [...vm.disks, { id: 'virtio2', size: 1 << 20, datastoreId: 'store' }] })
  await prepareRestore(RUN_ID, it.deps, signal)
  expect(it.catalog.run.notes).toEqual(['Disk virtio2 of the VM is not in the restore point; it is left as it is.'])
})

test('a new VM that cannot be made: the run ends, whatever the platform remembers of it', async () => {
  for (const later of [false, true]) {
    const it = await world({ target: 'new-vm' })
    it.platform.creationFails = true
    await expect(prepareRestore(RUN_ID, it.deps, signal)).rejects.toMatchObject({ code: 'TASK_FAILED' })
    await it.catalog.failRun(RUN_ID, { code: 'TASK_FAILED', message: 'no space left', retryable: true })
    if (later) it.platform.muchLater()
    await finishRun(RUN_ID, it.deps, signal)
    expect(it.catalog.run).toMatchObject({ state: 'failed', reason: 'TASK_FAILED' })
    expect([...it.platform.vms.keys()]).toEqual(['vm-1'])
  }
})

describe('differential', () => {
  const options: RestoreOptions = { target: 'original', differential: true }

  test('only what changed between the point and a fresh snapshot', async () => {
    const it = await world(options)
    const extents = [{ offset: 65_536, length: 131_072 }]
    it.platform.answer = ({ diskId }) => (diskId === 'virtio0' ? [extents] : [])
    await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.platform.calls).toEqual(['editVm vm-1', `changedAreas virtio0 since ${SINCE}`, `changedAreas virtio1 since ${SINCE}`])
    expect([...it.platform.snapshots.values()].map(snapshot => snapshot.name)).toEqual([`varve-${RUN_ID}`])
    expect(planned(it)).toEqual([{ imageId: 'image-of-virtio0', firstPage: 0, pageCount: 1, extents, bytes: 131_072 }])
    expect(it.catalog.run.images.map(image => image.parentImageId)).toEqual(['source-virtio0', 'source-virtio1'])
  })

  test.each([
    ['CBT_EXPIRED', 'changed block tracking has expired since'],
    ['CBT_DISABLED', 'changed block tracking is off'],
    ['CBT_ANSWER_INVALID', 'the platform gave a changed-areas answer that cannot be true'],
  ] as const)('%s: that disk in full, with a note', async (code, note) => {
    const it = await world(options)
    it.platform.answer = ({ diskId }) => (diskId === 'virtio1' ? code : [])
    await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.catalog.run.notes).toEqual([`Disk virtio1 is restored in full: ${note}.`])
    expect(planned(it)).toMatchObject([{ imageId: 'image-of-virtio1', extents: [{ offset: 0 }] }])
    expect(it.catalog.run.images.map(image => image.kind)).toEqual(['incremental', 'full'])
  })

  test('a point without checkpoint, or a disk of another size: in full', async () => {
    const it = await world(options, false)
    await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.catalog.run.notes).toContain('Disk virtio0 is restored in full: the restore point has no checkpoint for it.')
    const resized = await world(options)
    const vm = await resized.platform.getVm('vm-1')
    resized.platform.vms.set('vm-1', { ...vm, disks: vm.disks.map(disk => ({ ...disk, size: disk.size + 512 })) })
    await prepareRestore(RUN_ID, resized.deps, signal)
    expect(resized.catalog.run.notes).toContain('Disk virtio1 is restored in full: its size has changed since.')
  })

  test('another disk in the place of one: in full', async () => {
    const it = await world(options)
    const [first, second] = twoDisks()
    const disks = [
      { ...first!, identity: 'a' },
      { ...second!, identity: 'b' },
    ]
    it.catalog.pointConfig = { ...it.catalog.pointConfig!, config: { disks } }
    it.platform.identities.set('virtio0', 'a').set('virtio1', 'another')
    it.platform.answer = () => []
    await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.catalog.run.notes).toEqual(['Disk virtio1 is restored in full: another disk is in its place.'])
  })

  describe('interrupted', () => {
    const early = { offset: 0, length: 65_536 }
    const late = { offset: 262_144, length: 65_536 }

    /** Killed once its snapshot and lease are there and the plan is being stored. */
    const killed = async (): Promise<StoryWorld> => {
      const it = await world(options)
      it.platform.answer = ({ diskId, snapshot }) => (diskId === 'virtio1' ? [] : [snapshot.id === 'snapshot-1' ? [early] : [early, late]])
      let dead = false
      const deps = it.watched(step => {
        dead ||= step === 'before catalog.planned'
        if (dead) throw new Cut()
      })
      await expect(prepareRestore(RUN_ID, deps, signal)).rejects.toThrow(Cut)
      return it
    }

    test('for longer than its lease lives: what the guest wrote meanwhile is reverted, too', async () => {
      const it = await killed()
      // The VM was on for a while.
      it.platform.leases.clear()
      await prepareRestore(RUN_ID, it.deps, signal)
      expect(planned(it).map(({ extents }) => extents)).toEqual([[early, late]])
      expect([...it.platform.snapshots.keys()]).toEqual([it.catalog.run.resources.snapshotId])
      expect(it.platform.leases.size).toBe(1)
    })

    test('for less: snapshot and plan hold, and the VM is not edited under its lease', async () => {
      const it = await killed()
      await prepareRestore(RUN_ID, it.deps, signal)
      expect(it.catalog.run).toMatchObject({ state: 'copying', resources: { snapshotId: 'snapshot-1' } })
      expect(planned(it).map(({ extents }) => extents)).toEqual([[early]])
      expect(it.platform.calls.filter(call => call.startsWith('editVm'))).toHaveLength(1)
    })
  })

  test('a lease that had to be waited for: the snapshot is taken again, so that nothing is written between the two', async () => {
    const it = await world(options)
    it.platform.leases.set('of-somebody', 'vm-1')
    let refusals = 0
    const deps = it.watched(step => {
      if (step === 'before platform.createLease' && ++refusals === 2) it.platform.leases.delete('of-somebody')
    })
    await prepareRestore(RUN_ID, deps, signal)
    const { snapshotId, leaseId } = it.catalog.run.resources
    expect(snapshotId).not.toBe('snapshot-1')
    expect([...it.platform.snapshots.keys()]).toEqual([snapshotId])
    expect([...it.platform.leases.keys()]).toEqual([leaseId])
  })

  test('the snapshot goes with the run', async () => {
    const it = await world(options)
    await prepareRestore(RUN_ID, it.deps, signal)
    it.catalog.run = { ...it.catalog.run, state: 'finishing', outcome: 'succeeded' }
    await finishRun(RUN_ID, it.deps, signal)
    expect(it.platform.snapshots.size).toBe(0)
    expect(it.platform.vms.get('vm-1')?.power).toBe('off')
  })
})

test.each([{ differential: false }, { differential: true }])(
  'killed before it could note its lease, %o: the next finds it, edits the VM and goes on',
  async options => {
    const it = await world({ target: 'original', ...options })
    it.platform.answer = () => []
    let dead = false
    const deps = it.watched(step => {
      dead ||= step === 'after platform.createLease'
      if (dead) throw new Cut()
    })
    await expect(prepareRestore(RUN_ID, deps, signal)).rejects.toThrow(Cut)
    expect(it.platform.leases.size).toBe(1)
    await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.catalog.run).toMatchObject({ state: 'copying', resources: { leaseToken: null } })
    expect([...it.platform.leases.keys()]).toEqual([it.catalog.run.resources.leaseId])
  },
)

test.each([{ differential: false }, { differential: true }])(
  'a twin that gives back the lease of one that waits for the answer, %o: the run has a live one',
  async options => {
    const it = await world({ target: 'original', ...options })
    it.platform.answer = () => []
    let twin: Promise<unknown> | undefined
    const deps = it.watched(async step => {
      if (step !== 'after platform.createLease' || twin !== undefined) return
      // It has come as far as to give the lease back, and stands still.
      let stands = (): void => {}
      const standing = new Promise<void>(resolve => {
        stands = resolve
      })
      let go = (): void => {}
      const gone = new Promise<void>(resolve => {
        go = resolve
      })
      const slow = it.watched(async at => {
        if (at !== 'after platform.releaseLease') return
        stands()
        await gone
      })
      twin = prepareRestore(RUN_ID, slow, signal).catch(error => error)
      await standing
      setTimeout(go, 50)
    })
    await prepareRestore(RUN_ID, deps, signal).catch(error => expect(error).toMatchObject({ code: 'PLAN_CHANGED' }))
    await twin
    if (it.catalog.run.state === 'preparing') await prepareRestore(RUN_ID, it.deps, signal)
    expect(it.catalog.run.state).toBe('copying')
    expect([...it.platform.leases.keys()]).toEqual([it.catalog.run.resources.leaseId])
  },
)

describe.each([{ differential: false }, { differential: true }])(
  'a worker that slept while another planned and the lease was lost, %o',
  options => {
    test('puts no other lease in its place, wherever it slept: the restore ends', async () => {
      let slept = 0
      for (let at = 1; ; at += 1) {
        const it = await world({ target: 'original', ...options })
        it.platform.answer = () => []
        let step = 0
        let lost: string | null = null
        const deps = it.watched(async name => {
          if (name.startsWith('during')) return
          step += 1
          if (step !== at) return
          await prepareRestore(RUN_ID, it.deps, signal)
          lost = it.catalog.run.resources.leaseId
          // It ran out, and somebody had the VM on for a while.
          it.platform.leases.clear()
        })
        await prepareRestore(RUN_ID, deps, signal).catch(error => expect(error).toHaveProperty('code'))
        if (step < at) break
        await renewalRound(it.deps, 300, signal)
        const { state, resources } = it.catalog.run
        // One that slept before it did anything is the preparer itself, and what it plans stands on its own lease.
        if (lost !== null) expect([at, state, resources.leaseId]).toEqual([at, 'finishing', lost])
        slept += lost === null ? 0 : 1
      }
      expect(slept).toBeGreaterThan(10)
      // A hundred worlds with a repository each.
    }, 120_000)
  },
)
