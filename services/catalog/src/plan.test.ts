import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  addVm,
  fullImage,
  MiB,
  rangeIds,
  rangeOf,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
} from './testing/catalog-fixture.ts'

/** Two workers on one run, or one that was interrupted: the ranges that are copied are one plan, made from one snapshot. */

let databases: TestDatabases
let t: TestCatalog
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { reconcileIntervalS: 3600 })
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

const changed = { code: 'PLAN_CHANGED', retryable: true }
const config = { name: 'vm' }

/** A run that is being prepared from snapshot `s1`. */
async function preparing(): Promise<string> {
  const { id } = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.startRun(id)
  await t.catalog.recordResources(id, { snapshotName: 'varve-1', snapshotId: 's1' })
  await t.catalog.recordSnapshot(id, { checkpointId: '1', config, snapshotId: 's1' })
  return id
}

async function imageOf(id: string, snapshotId: string): Promise<string> {
  const [image] = await t.catalog.addImages(id, [fullImage()], snapshotId)
  return image!.id
}

describe('a plan made from a snapshot that was replaced meanwhile', () => {
  test('its images, its ranges and its end are refused, and so is its checkpoint', async () => {
    const id = await preparing()
    const old = await imageOf(id, 's1')
    await t.catalog.recordResources(id, { snapshotId: 's2' })
    await t.catalog.recordSnapshot(id, { checkpointId: '2', config, snapshotId: 's2' })
    await expect(t.catalog.recordSnapshot(id, { checkpointId: '1', config, snapshotId: 's1' })).rejects.toMatchObject(changed)
    await expect(t.catalog.addImages(id, [fullImage()], 's1')).rejects.toMatchObject(changed)
    await expect(t.catalog.addRanges(id, [rangeOf(old, 0)], 's1')).rejects.toMatchObject(changed)
    // Its image went with the plan.
    await expect(t.catalog.addRanges(id, [rangeOf(old, 0)])).rejects.toMatchObject(changed)
    await expect(t.catalog.planned(id, { snapshotId: 's1' })).rejects.toMatchObject(changed)
    expect(await t.catalog.getRunForWork(id)).toMatchObject({ state: 'preparing', checkpointId: '2', images: [] })

    const imageId = await imageOf(id, 's2')
    await t.catalog.addRanges(id, [rangeOf(imageId, 0)], 's2')
    await t.catalog.planned(id, { snapshotId: 's2', images: [{ imageId, ranges: 1 }] })
    expect((await t.catalog.getRun(id)).state).toBe('copying')
  })

  test('once ranges are planned the snapshot stays, until the clean-up', async () => {
    const id = await preparing()
    const imageId = await imageOf(id, 's1')
    await t.catalog.addRanges(id, [rangeOf(imageId, 0)], 's1')
    await t.catalog.planned(id, { snapshotId: 's1' })
    await t.catalog.planned(id, { snapshotId: 's1' })
    for (const snapshotId of ['s2', null]) {
      await expect(t.catalog.recordResources(id, { snapshotId })).rejects.toMatchObject(changed)
    }
    await t.catalog.recordResources(id, { snapshotId: 's1', leaseId: 'l' })
    await expect(t.catalog.planned(id, { snapshotId: 's2' })).rejects.toMatchObject(changed)
    await expect(t.catalog.addImages(id, [fullImage()], 's2')).rejects.toMatchObject(changed)
    expect((await t.catalog.getRunForWork(id)).resources.snapshotId).toBe('s1')

    await t.catalog.cancelRun(id)
    await expect(t.catalog.recordResources(id, { snapshotId: 's2' })).rejects.toMatchObject({ code: 'RUN_ENDED' })
    expect((await t.catalog.getRunForWork(id)).resources.snapshotId).toBe('s2')
    await expect(t.catalog.addImages(id, [fullImage()], 's1')).rejects.toMatchObject({ code: 'RUN_ENDED' })
  })
})

test('a resource that another worker recorded meanwhile is not replaced', async () => {
  const id = await preparing()
  const recorded = async () => (await t.catalog.getRunForWork(id)).resources.leaseId
  await t.catalog.recordResources(id, { leaseId: 'l1' }, { leaseId: null })
  await t.catalog.recordResources(id, { leaseId: 'l1' }, { leaseId: null })
  await expect(t.catalog.recordResources(id, { leaseId: 'l2' }, { leaseId: null })).rejects.toMatchObject(changed)
  expect(await recorded()).toBe('l1')
  await t.catalog.recordResources(id, { leaseId: 'l2' }, { leaseId: 'l1' })
  expect(await recorded()).toBe('l2')
  // A twin noted the token once more and got the same lease.
  await t.catalog.recordResources(id, { leaseToken: 'token' })
  await t.catalog.recordResources(id, { leaseId: 'l2', leaseToken: null }, { leaseId: null })
  await t.catalog.cancelRun(id)
  await t.catalog.failRun(id, { code: 'CANCELLED', message: 'cancelled', retryable: false })
  // The clean-up must find it.
  await expect(t.catalog.recordResources(id, { leaseId: 'l3' }, { leaseId: null })).rejects.toMatchObject({ code: 'RUN_ENDED' })
  expect(await recorded()).toBe('l3')
})

test('a plan that holds under a lease is refused without it', async () => {
  const id = await preparing()
  const imageId = await imageOf(id, 's1')
  const plan = { snapshotId: 's1', leaseId: 'l1', images: [{ imageId, ranges: 0 }] }
  for (const leaseId of [null, 'l2']) {
    await t.catalog.recordResources(id, { leaseId })
    await expect(t.catalog.planned(id, plan)).rejects.toMatchObject(changed)
  }
  await t.catalog.recordResources(id, { leaseId: 'l1' })
  await t.catalog.planned(id, plan)
  expect((await t.catalog.getRun(id)).state).toBe('sealing')
})

describe('a plan that was stored in part', () => {
  test('is gone on with by the same plan only', async () => {
    const id = await preparing()
    const imageId = await imageOf(id, 's1')
    const ranges = [rangeOf(imageId, 0), rangeOf(imageId, 1)]
    await t.catalog.addRanges(id, ranges.slice(0, 1), 's1')
    const others = [
      { firstPage: 1 },
      { pageCount: 2 },
      { bytes: MiB + 1 },
      { extents: [] },
      { extents: [{ offset: 0, length: MiB + 512 }] },
      {
        extents: [
          { offset: 0, length: 512 },
          { offset: 1024, length: MiB },
        ],
      },
    ]
    for (const other of others) {
      await expect(t.catalog.addRanges(id, [{ ...ranges[0]!, ...other }, ranges[1]!], 's1')).rejects.toMatchObject(changed)
    }
    // Nothing of the refused calls remains.
    expect((await t.catalog.getRun(id)).totals).toMatchObject({ rangesTotal: 1, planned: MiB })
    await t.catalog.addRanges(id, ranges, 's1')
    expect((await t.catalog.getRun(id)).totals).toMatchObject({ rangesTotal: 2, planned: 2 * MiB })
    await t.catalog.planned(id, { snapshotId: 's1', images: [{ imageId, ranges: 2 }] })
  })

  test('ends only with as many images and ranges as it has', async () => {
    const id = await preparing()
    const imageId = await imageOf(id, 's1')
    await t.catalog.addRanges(id, [rangeOf(imageId, 0), rangeOf(imageId, 1)], 's1')
    const other = randomUUID()
    for (const images of [
      [],
      [{ imageId, ranges: 1 }],
      [{ imageId, ranges: 3 }],
      [{ imageId: other, ranges: 2 }],
      [
        { imageId, ranges: 2 },
        { imageId: other, ranges: 0 },
      ],
    ]) {
      await expect(t.catalog.planned(id, { snapshotId: 's1', images })).rejects.toMatchObject(changed)
    }
    expect((await t.catalog.getRun(id)).state).toBe('preparing')
  })

  test('can be dropped, by who works with the same snapshot, as long as nothing is copied', async () => {
    const id = await preparing()
    const imageId = await imageOf(id, 's1')
    await t.catalog.addRanges(id, [rangeOf(imageId, 0)], 's1')
    await t.catalog.dropPlan(id, 's0')
    expect((await t.catalog.getRun(id)).images).toHaveLength(1)
    await t.catalog.dropPlan(id, 's1')
    expect((await t.catalog.getRun(id)).images).toEqual([])
    const again = await imageOf(id, 's1')
    await t.catalog.addRanges(id, [rangeOf(again, 1)], 's1')
    await t.catalog.planned(id, { snapshotId: 's1', images: [{ imageId: again, ranges: 1 }] })
    await t.catalog.dropPlan(id, 's1')
    expect(await rangeIds(t, id)).toHaveLength(1)
  })

  test('says how each disk was asked for', async () => {
    const id = await preparing()
    const images = ['4294967297', null, undefined].map((since, i) => ({
      ...fullImage(`d${i}`),
      ...(since === undefined ? {} : { since }),
    }))
    await t.catalog.addImages(id, images, 's1')
    expect((await t.catalog.getRun(id)).images.map(image => image.since)).toEqual(['4294967297', null, null])
  })
})
