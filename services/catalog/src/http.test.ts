import { randomUUID } from 'node:crypto'
import { createCatalogClient } from '@varve/catalog-client'
import { CATALOG_METHODS, CHANGES_PATH, REQUEST_MAX, ROUTES } from '@varve/catalog-client/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  addVm,
  copyingBackup,
  fullImage,
  PLATFORM,
  rangeOf,
  result,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  TOKEN,
  unknownAttempt,
} from './testing/catalog-fixture.ts'

const NOTHING_SEEN = { vms: 0, snapshots: 0, leases: 0, objects: 0, points: 0, images: 0, pages: 0 }

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

const noAttempt = unknownAttempt()
const absent = '00000000-0000-4000-8000-000000000000'
const minimal: Record<string, unknown> = {
  platform: PLATFORM,
  vms: [],
  options: { target: 'new-vm' },
  resources: {},
  snapshot: { checkpointId: '1', config: {} },
  note: 'x',
  targetPlatformVmId: 'x',
  images: [fullImage()],
  snapshotId: 's',
  plan: { snapshotId: 's', images: [] },
  ranges: [rangeOf(absent, 0)],
  request: { restorePointId: absent, createdAt: new Date().toISOString(), manifestKey: 'm', parentId: null, images: [] },
  error: { code: 'X', message: 'x', retryable: false },
  worker: 'w',
  attemptId: noAttempt,
  end: 'failed',
  result: result(noAttempt),
  progress: { read: 0, written: 0 },
  check: { scope: 'leaks', sweep: false },
  id: absent,
  everySeconds: 60,
  filter: {},
  at: { step: 'points', seen: NOTHING_SEEN },
  outcome: { error: { code: 'X', message: 'x' } },
  after: null,
  ids: [],
  imageIds: [],
  keys: [],
  attemptIds: [],
  objects: [],
  withinSeconds: 60,
  limits: { runs: 1 },
  reason: 'throttled',
}

async function call(
  method: string,
  path: string,
  body?: string,
  token = TOKEN,
): Promise<{ status: number; json: { code: string; message: string } }> {
  const headers = { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  const response = await fetch(t.url + path, { method, headers, ...(body === undefined ? {} : { body }) })
  return { status: response.status, json: (await response.json().catch(() => ({}))) as { code: string; message: string } }
}

test.each(CATALOG_METHODS.map(m => [m, ROUTES[m]] as const))(
  '%s refuses a wrong token, an unknown id and a malformed body',
  async (_method, route) => {
    const path = route.path.replace(':id', absent)
    const body = route.http === 'POST' ? JSON.stringify(Object.fromEntries(route.args.map(a => [a, minimal[a]]))) : undefined
    expect(await call(route.http, path, body, 'wrong')).toMatchObject({ status: 401, json: { code: 'UNAUTHORIZED' } })
    // Deleting what is not there is done already.
    if (route.path.includes(':id') && route.http !== 'DELETE') {
      expect(await call(route.http, path, body)).toMatchObject({ status: 404, json: { code: 'NOT_FOUND' } })
      expect(await call(route.http, route.path.replace(':id', "x'--"), body)).toMatchObject({ status: 404, json: { code: 'NOT_FOUND' } })
    }
    if (route.http === 'POST') {
      expect(await call('POST', path, '{"')).toMatchObject({ status: 400, json: { code: 'BAD_REQUEST' } })
      const required = route.args.filter(a => a !== 'idempotencyKey')
      for (const name of required) {
        // null is a snapshot, too: none; and where a list begins; and prices that are forgotten.
        for (const wrong of [...(['snapshotId', 'after', 'prices'].includes(name) ? [] : [null]), -7, 'x'.repeat(20_000)]) {
          const bad = JSON.stringify({ ...Object.fromEntries(route.args.map(a => [a, minimal[a]])), [name]: wrong })
          expect(await call('POST', path, bad)).toMatchObject({ status: 400, json: { code: 'BAD_REQUEST' } })
        }
      }
    }
  },
)

test('a body above the limit and a path that is none are refused', async () => {
  const big = JSON.stringify({ platform: { ...PLATFORM, url: 'x'.repeat(REQUEST_MAX) } })
  expect(await call('POST', '/internal/v1/platforms', big).catch(() => ({ status: 400 }))).toMatchObject({ status: 400 })
  expect(await call('GET', '/internal/v1/nothing')).toMatchObject({ status: 404, json: { code: 'NOT_FOUND' } })
  expect((await fetch(`${t.url}${CHANGES_PATH}`)).status).toBe(401)
  expect((await fetch(`${t.url}/healthz`)).status).toBe(200)
})

test('platforms: credentials only where they are needed, a name once, deletion only without runs', async () => {
  const name = randomUUID()
  const platform = await t.catalog.addPlatform({ ...PLATFORM, name })
  expect(platform).not.toHaveProperty('credentials')
  expect(JSON.stringify(await t.catalog.listPlatforms())).not.toContain('password')
  expect((await t.catalog.getPlatform(platform.id)).credentials).toEqual(PLATFORM.credentials)
  expect(platform).not.toHaveProperty('transport')
  await expect(t.catalog.addPlatform({ ...PLATFORM, name, transport: 'nbd' })).rejects.toMatchObject({ code: 'CONFLICT' })
  const plain = { ...PLATFORM, name: randomUUID(), transport: 'nbd' as const }
  const { id } = await t.catalog.addPlatform(plain)
  expect((await t.catalog.addPlatform(plain)).id).toBe(id)
  expect((await t.catalog.getPlatform(id)).transport).toBe('nbd')
  await expect(t.catalog.addPlatform({ ...PLATFORM, name, url: 'https://other' })).rejects.toMatchObject({ code: 'CONFLICT' })
  const vmId = await addVm(t.catalog)
  const { platformId } = await t.catalog.getVm(vmId)
  await t.catalog.createBackup(vmId, {})
  await expect(t.catalog.deletePlatform(platformId)).rejects.toMatchObject({ code: 'CONFLICT' })
  await t.catalog.deletePlatform(platform.id)
  await expect(t.catalog.getPlatform(platform.id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('VMs that are no longer listed: gone, kept while they have points, no new backup', async () => {
  const empty = await addVm(t.catalog)
  const kept = await addVm(t.catalog)
  await sealedBackup(t, kept)
  for (const id of [empty, kept]) await t.catalog.reportVms((await t.catalog.getVm(id)).platformId, [])
  const listed = (await t.catalog.listVms()).map(v => v.id)
  expect(listed).toContain(kept)
  expect(listed).not.toContain(empty)
  expect((await t.catalog.getVm(kept)).gone).toBe(true)
  await expect(t.catalog.createBackup(kept, {})).rejects.toMatchObject({ code: 'CONFLICT', context: { state: 'gone' } })
  const vm = { platformVmId: 'a', name: 'a', power: 'on', exclusions: [], disks: [] }
  await expect(t.catalog.reportVms((await t.catalog.getVm(kept)).platformId, [vm, vm])).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

test('runs are listed newest first, filtered and bounded', async () => {
  const vmId = await addVm(t.catalog)
  const ids: string[] = []
  for (let i = 0; i < 3; i++) {
    const { id } = await t.catalog.createBackup(vmId, {})
    ids.unshift(id)
    await t.catalog.cancelRun(id)
    await t.catalog.closeRun(id)
  }
  const listed = async (filter: Parameters<typeof t.catalog.listRuns>[0]) => (await t.catalog.listRuns(filter)).map(r => r.id)
  expect(await listed({ vmId })).toEqual(ids)
  expect(await listed({ vmId, limit: 2 })).toEqual(ids.slice(0, 2))
  expect(await listed({ vmId, active: true })).toEqual([])
  expect(await listed({ vmId, active: false, kind: 'backup' })).toEqual(ids)
  expect(await listed({ vmId, kind: 'restore' })).toEqual([])
  expect((await t.catalog.listRuns()).length).toBeGreaterThan(0)
})

test('resources: only what is given changes, leases of live runs are listed, a late report is kept and refused', async () => {
  const run = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.startRun(run.id)
  await t.catalog.recordResources(run.id, { snapshotName: 'varve-1', leaseId: 'lease-1' })
  await t.catalog.recordResources(run.id, { snapshotId: 'snap-1' })
  expect((await t.catalog.getRunForWork(run.id)).resources).toEqual({
    snapshotName: 'varve-1',
    snapshotId: 'snap-1',
    leaseId: 'lease-1',
    leaseToken: null,
    createdVmId: null,
  })
  expect(await t.catalog.activeLeases()).toContainEqual({ runId: run.id, platformId: run.platformId, leaseId: 'lease-1' })
  await t.catalog.failRun(run.id, { code: 'X', message: 'x', retryable: false })
  await expect(t.catalog.recordResources(run.id, { leaseId: 'lease-2' })).rejects.toMatchObject({ code: 'RUN_ENDED' })
  expect(await t.catalog.activeLeases()).toContainEqual({ runId: run.id, platformId: run.platformId, leaseId: 'lease-2' })
  await t.catalog.recordResources(run.id, { leaseId: null, snapshotId: null })
  // A run that has ended owns nothing.
  await expect(t.catalog.closeRun(run.id)).rejects.toMatchObject({ code: 'CONFLICT', context: { state: 'finishing' } })
  await t.catalog.recordResources(run.id, { snapshotName: null })
  await t.catalog.closeRun(run.id)
  expect(await t.catalog.runFacts([run.id])).toMatchObject([{ state: 'failed', lastLeaseId: 'lease-2' }])
  expect((await t.catalog.activeLeases()).map(l => l.runId)).not.toContain(run.id)
  await expect(t.catalog.recordResources(run.id, { leaseId: 'x' })).rejects.toMatchObject({ code: 'RUN_ENDED' })
})

test('an incremental needs a sealed parent, of the point that the new one names as parent', async () => {
  const vmId = await addVm(t.catalog)
  const first = await sealedBackup(t, vmId)
  const other = await sealedBackup(t, await addVm(t.catalog))
  const run = await t.catalog.createBackup(vmId, {})
  await t.catalog.startRun(run.id)
  await t.catalog.recordSnapshot(run.id, { checkpointId: '18446744073709551615', config: { a: [1] } })
  const child = { ...fullImage(), kind: 'incremental' as const, reason: null }
  await expect(t.catalog.addImages(run.id, [{ ...child, parentImageId: absent }])).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  const [image] = await t.catalog.addImages(run.id, [{ ...child, parentImageId: first.imageId }])
  await t.catalog.planned(run.id)
  const root = { imageId: image!.id, rootKey: 'r', merkleRoot: 'ab', cbt: true }
  const request = {
    restorePointId: randomUUID(),
    createdAt: new Date().toISOString(),
    manifestKey: 'm',
    parentId: first.pointId,
    images: [root],
  }
  await expect(t.catalog.seal(run.id, { ...request, parentId: null })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  await expect(t.catalog.seal(run.id, { ...request, parentId: other.pointId })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  await expect(t.catalog.seal(run.id, { ...request, images: [] })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  await expect(t.catalog.seal(run.id, { ...request, images: [root, root] })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  await t.catalog.seal(run.id, request)
  await expect(t.catalog.seal(run.id, { ...request, restorePointId: randomUUID() })).rejects.toMatchObject({ code: 'CONFLICT' })
  const [newest, oldest] = await t.catalog.listPoints(vmId)
  expect(newest).toMatchObject({ parentId: oldest!.id, chainId: oldest!.chainId, images: [{ kind: 'incremental' }] })
  expect(await t.catalog.getPointConfig(newest!.id)).toMatchObject({ config: { a: [1] }, checkpointId: '18446744073709551615' })
  expect(await t.catalog.parentPoint(vmId)).toMatchObject({ restorePointId: newest!.id })
})

test('a plan made from another snapshot is dropped, the same snapshot keeps it', async () => {
  const run = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.startRun(run.id)
  const prepare = async (snapshotId: string, checkpointId: string, bytes: number): Promise<number> => {
    await t.catalog.recordResources(run.id, { snapshotName: 'varve-1', snapshotId })
    await t.catalog.recordSnapshot(run.id, { checkpointId, config: {} })
    const [image] = await t.catalog.addImages(run.id, [fullImage()])
    await t.catalog.addRanges(run.id, [{ ...rangeOf(image!.id, 0), bytes }])
    return (await t.catalog.getRun(run.id)).totals.planned
  }
  expect(await prepare('s1', '1', 10)).toBe(10)
  expect(await prepare('s1', '1', 10)).toBe(10)
  await expect(prepare('s1', '1', 20)).rejects.toMatchObject({ code: 'PLAN_CHANGED' })
  expect(await prepare('s1', '2', 30)).toBe(30)
  expect(await prepare('s2', '2', 40)).toBe(40)
  await t.catalog.recordResources(run.id, { snapshotId: null })
  expect((await t.catalog.getRun(run.id)).images).toEqual([])
  expect(await prepare('s3', '3', 50)).toBe(50)
  await t.catalog.planned(run.id)
  await expect(t.catalog.recordResources(run.id, { snapshotId: null })).rejects.toMatchObject({ code: 'PLAN_CHANGED' })
  expect((await t.catalog.getRun(run.id)).totals.planned).toBe(50)
})

test('ranges of an image that belongs to another run are refused', async () => {
  const { imageId } = await copyingBackup(t, await addVm(t.catalog), 1)
  const run = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.startRun(run.id)
  await expect(t.catalog.addRanges(run.id, [rangeOf(imageId, 5)])).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

test('a cancel that comes while preparing ends the run at `planned`', async () => {
  const run = await t.catalog.createBackup(await addVm(t.catalog), {})
  await t.catalog.startRun(run.id)
  await t.catalog.addImages(run.id, [fullImage()])
  expect(await t.catalog.cancelRun(run.id)).toMatchObject({ state: 'preparing' })
  expect(await t.catalog.getRunForWork(run.id)).toMatchObject({ cancelRequested: true })
  await t.catalog.planned(run.id)
  expect(await t.catalog.getRun(run.id)).toMatchObject({ state: 'finishing', outcome: 'cancelled', reason: 'CANCELLED' })
})

test('the wrong token is not tried again', async () => {
  const stranger = createCatalogClient({ url: t.url, token: 'not-the-token' })
  await expect(stranger.listVms()).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  await expect(stranger.changes()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  await stranger.close()
})
