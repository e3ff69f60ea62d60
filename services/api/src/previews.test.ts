import type { Run } from '@varve/catalog-client'
import { createLogger } from '@varve/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { App } from './api-context.ts'
import { buildApi } from './build-api.ts'
import { MemoryCatalog } from './testing/memory-catalog.ts'
import { openScriptedPlatform, SCRIPTED_VMS } from './testing/scripted-platform.ts'
import { simulateRuns } from './testing/simulated-runs.ts'

const TOKEN = 'a-token-of-sixteen-or-more'
const PRICES = { currency: 'EUR', perGibMonth: 1, perThousandPuts: 1000, perThousandGets: 0, perGibRead: 0 }

let memory: MemoryCatalog
let app: App
let vmId: string

beforeEach(async () => {
  memory = new MemoryCatalog()
  app = await buildApi({
    catalog: memory.catalog,
    openPlatform: openScriptedPlatform(SCRIPTED_VMS),
    token: TOKEN,
    log: createLogger('api-test', 'silent'),
  })
  const platform = { name: 'cluster-a', kind: 'scp', url: 'http://scp.test:4430/', credentials: { username: 'u', password: 'p4ssw0rd' } }
  await call('POST', '/v1/platforms', platform)
  vmId = (await call('GET', '/v1/vms')).body.items.find((vm: { name: string }) => vm.name === 'files-1').id
})
afterEach(() => app.close())

async function call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, body?: unknown) {
  const payload = body === undefined ? {} : { payload: body as object }
  const response = await app.inject({ method, url, headers: { authorization: `Bearer ${TOKEN}` }, ...payload })
  return { status: response.statusCode, headers: response.headers, body: response.body === '' ? null : response.json() }
}

test('a preview is waited for, and answered with what it found', async () => {
  const stop = simulateRuns(memory, { ticks: 2, tickMs: 10 })
  const { status, body, headers } = await call('POST', `/v1/vms/${vmId}/backups/preview`)
  expect(status).toBe(200)
  expect(headers.location).toBe(`/v1/runs/${body.id}`)
  expect(body).toMatchObject({ kind: 'preview', state: 'succeeded', actual: null })
  expect(body.prediction).toMatchObject({ of: 'backup', exact: true, seconds: 42.5, price: null, secondsBasis: { from: 'vm', runs: 2 } })
  expect(body.prediction.disks[0]).toMatchObject({
    reason: 'first',
    reasonText: expect.stringMatching(/\w/),
    storedBasis: { from: 'vm', runs: 2 },
  })
  stop()
})

test('one that takes longer is answered as it is, to be followed', async () => {
  const { status, body } = await call('POST', `/v1/vms/${vmId}/backups/preview?wait=0`, { full: true })
  expect([status, body.state, body.options, body.prediction]).toEqual([202, 'queued', { full: true, of: 'backup' }, null])
})

test('prices: absent, set, applied to what is expected and what was, forgotten', async () => {
  expect(await call('GET', '/v1/repository/prices')).toMatchObject({ status: 200, body: { prices: null } })
  expect(await call('PUT', '/v1/repository/prices', PRICES)).toMatchObject({ status: 200, body: { prices: PRICES } })
  const stop = simulateRuns(memory, { ticks: 1, tickMs: 10 })
  const { body } = await call('POST', `/v1/vms/${vmId}/backups/preview`)
  expect(body.prediction.price).toEqual({ currency: 'EUR', run: 25, perMonth: expect.closeTo(body.prediction.stored / 1024 ** 3, 9) })
  stop()
  const run = {
    ...(memory.runs.get(body.id) as Run),
    kind: 'backup' as const,
    objects: 7,
    startedAt: '2026-01-01T00:00:00.000Z',
    endedAt: '2026-01-01T00:00:02.500Z',
  }
  memory.runs.set(run.id, run)
  expect((await call('GET', `/v1/runs/${run.id}`)).body.actual).toMatchObject({
    seconds: 2.5,
    puts: 7 + run.images.length + 1,
    price: { currency: 'EUR', run: 7 + run.images.length + 1 },
  })
  memory.runs.set(run.id, { ...run, state: 'failed', outcome: 'failed' })
  expect((await call('GET', `/v1/runs/${run.id}`)).body.actual).toBeNull()
  expect((await call('DELETE', '/v1/repository/prices')).status).toBe(204)
  expect((await call('GET', `/v1/runs/${run.id}`)).body.prediction.price).toBeNull()
})

test.each([
  [{}],
  [{ ...PRICES, currency: 'euro' }],
  [{ ...PRICES, perGibMonth: -1 }],
  [{ ...PRICES, perGibRead: 1e7 }],
  [{ ...PRICES, perPut: 1 }],
])('prices like %j are refused', async prices => {
  expect(await call('PUT', '/v1/repository/prices', prices)).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST' } })
  expect(memory.prices).toBeNull()
})

test.each([
  ['vms/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/backups/preview', {}, 404],
  ['restore-points/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/restores/preview', { target: 'new-vm' }, 404],
  ['restore-points/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/restores/preview', {}, 400],
  ['restore-points/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/restores/preview', { target: 'new-vm', powerOff: true }, 400],
  ['vms/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/backups/preview?wait=61', {}, 400],
])('POST %s with %j is refused', async (path, body, status) => {
  expect((await call('POST', `/v1/${path}`, body)).status).toBe(status)
})
