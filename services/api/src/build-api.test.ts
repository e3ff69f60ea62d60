import { createLogger } from '@varve/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { App } from './api-context.ts'
import { buildApi } from './build-api.ts'
import { MemoryCatalog } from './testing/memory-catalog.ts'
import { openScriptedPlatform, SCRIPTED_VMS } from './testing/scripted-platform.ts'

const TOKEN = 'a-token-of-sixteen-or-more'
const log = createLogger('api-test', 'silent')
const NEW_PLATFORM = { name: 'cluster-a', kind: 'scp', url: 'http://scp.test:4430/', credentials: { username: 'u', password: 'p4ssw0rd' } }

let memory: MemoryCatalog
let app: App

beforeEach(async () => {
  memory = new MemoryCatalog()
  app = await buildApi({ catalog: memory.catalog, openPlatform: openScriptedPlatform(SCRIPTED_VMS), token: TOKEN, log })
})
afterEach(() => app.close())

async function call(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await app.inject({
    method,
    url,
    headers: { authorization: `Bearer ${TOKEN}`, ...headers },
    ...(body === undefined ? {} : { payload: body as object }),
  })
  return { status: response.statusCode, headers: response.headers, body: response.body === '' ? null : response.json() }
}

async function aVm(name = 'files-1'): Promise<{ id: string; name: string }> {
  await call('POST', '/v1/platforms', NEW_PLATFORM)
  const { body } = await call('GET', '/v1/vms')
  return body.items.find((vm: { name: string }) => vm.name === name)
}

test('adding a platform proves it, reads its VMs and never gives the credentials back', async () => {
  const added = await call('POST', '/v1/platforms', NEW_PLATFORM)
  expect(added.status).toBe(201)
  expect(added.body).toMatchObject({ name: 'cluster-a', url: 'http://scp.test:4430', inventory: { code: null } })
  const listed = await call('GET', '/v1/platforms')
  expect(JSON.stringify([added, listed])).not.toMatch(/p4ssw0rd|credentials/)
  expect((await call('GET', '/v1/vms')).body.items).toHaveLength(SCRIPTED_VMS.length)
})

test('a platform keeps the transport that was asked for', async () => {
  const added = await call('POST', '/v1/platforms', { ...NEW_PLATFORM, name: 'plain', transport: 'nbd' })
  expect(added.body.transport).toBe('nbd')
  expect((await call('POST', '/v1/platforms', { ...NEW_PLATFORM, name: 'chosen by the platform' })).body.transport).toBe(null)
})

test.each([
  ['another transport', { transport: 'hotadd' }, 400, 'BAD_REQUEST'],
  ['no answer', { url: 'http://nowhere.test' }, 503, 'PLATFORM_UNREACHABLE'],
  ['wrong password', { credentials: { username: 'u', password: 'wrong' } }, 422, 'PLATFORM_AUTH_FAILED'],
  ['credentials inside the URL', { url: 'http://u:p@scp.test' }, 422, 'PLATFORM_ADDRESS_INVALID'],
  ['another scheme', { url: 'file:///etc/passwd' }, 422, 'PLATFORM_ADDRESS_INVALID'],
  ['an unknown field', { colour: 'red' }, 400, 'BAD_REQUEST'],
  ['half of the credentials', { credentials: { username: 'u' } }, 400, 'BAD_REQUEST'],
  ['a mixture of credentials', { credentials: { username: 'u', password: 'p', accessKey: 'k' } }, 400, 'BAD_REQUEST'],
  ['a name that is too long', { name: 'x'.repeat(101) }, 400, 'BAD_REQUEST'],
  ['a name of another type', { name: 5 }, 400, 'BAD_REQUEST'],
])('a platform is refused for %s, and nothing is stored', async (_why, fields, status, code) => {
  const answer = await call('POST', '/v1/platforms', { ...NEW_PLATFORM, ...fields })
  expect(answer).toMatchObject({ status, body: { code, message: expect.any(String), retryable: expect.any(Boolean) } })
  expect(memory.platforms.size).toBe(0)
})

test('every route below /v1 wants the token in the header, and nowhere else', async () => {
  for (const [headers, url] of [
    [{}, '/v1/vms'],
    [{ authorization: 'Bearer wrong' }, '/v1/vms'],
    [{ authorization: `Basic ${TOKEN}` }, '/v1/vms'],
    [{ cookie: `token=${TOKEN}` }, '/v1/events'],
    [{}, `/v1/events?token=${TOKEN}`],
    [{}, '/v1/platforms'],
  ] as const) {
    const response = await app.inject({ url, headers })
    expect([response.statusCode, response.json().code]).toEqual([401, 'UNAUTHORIZED'])
  }
  for (const url of ['/healthz', '/readyz', '/openapi.json', '/docs/', '/']) expect((await app.inject({ url })).statusCode).toBe(200)
})

test('a backup: recorded once by idempotency key, refused while one is under way', async () => {
  const vm = await aVm()
  const key = { 'idempotency-key': 'nightly-1' }
  const first = await call('POST', `/v1/vms/${vm.id}/backups`, { full: true }, key)
  expect(first.status).toBe(202)
  expect(first.headers.location).toBe(`/v1/runs/${first.body.id}`)
  expect(first.body).toMatchObject({ kind: 'backup', state: 'queued', options: { full: true }, progress: { fraction: 0, rate: null } })
  expect((await call('POST', `/v1/vms/${vm.id}/backups`, { full: true }, key)).body.id).toBe(first.body.id)
  expect(await call('POST', `/v1/vms/${vm.id}/backups`, {}, key)).toMatchObject({ status: 409, body: { code: 'CONFLICT' } })
  expect(await call('POST', `/v1/vms/${vm.id}/backups`, {})).toMatchObject({ status: 409, body: { code: 'CONFLICT' } })
  expect((await call('GET', '/v1/runs?active=true')).body.items).toHaveLength(1)
  expect((await call('POST', `/v1/runs/${first.body.id}/cancel`)).body.state).toBe('cancelled')
  expect((await call('GET', '/v1/runs?active=true')).body.items).toHaveLength(0)
  expect(await call('POST', `/v1/runs/${first.body.id}/cancel`)).toMatchObject({ status: 202, body: { state: 'cancelled' } })
})

test('a run is paused and resumed; one that has ended is not', async () => {
  const vm = await aVm()
  const { body: run } = await call('POST', `/v1/vms/${vm.id}/backups`, { priority: 'high' })
  expect(run).toMatchObject({ paused: false, priority: 'high', bottleneck: null })
  for (const _ of ['once', 'twice']) {
    expect(await call('POST', `/v1/runs/${run.id}/pause`)).toMatchObject({ status: 202, body: { state: 'queued', paused: true } })
  }
  expect(await call('POST', `/v1/runs/${run.id}/resume`)).toMatchObject({ status: 202, body: { paused: false } })
  await call('POST', `/v1/runs/${run.id}/cancel`)
  expect(await call('POST', `/v1/runs/${run.id}/pause`)).toMatchObject({ status: 409, body: { code: 'RUN_ENDED' } })
  expect(await call('POST', `/v1/runs/${run.id}/resume`)).toMatchObject({ status: 202, body: { state: 'cancelled', paused: false } })
  expect(await call('POST', `/v1/vms/${vm.id}/backups`, { priority: 'urgent' })).toMatchObject({
    status: 400,
    body: { code: 'BAD_REQUEST' },
  })
})

test('limits of a platform: shown with its pressure, changed one by one', async () => {
  const { body: platform } = await call('POST', '/v1/platforms', NEW_PLATFORM)
  const limits = { runs: 32, runsPerHost: 16, openDisksPerHost: 16, openDisksPerDatastore: 10, bytesPerSecond: null }
  expect(platform).toMatchObject({ limits, pressure: { level: 0, reason: null, at: null } })
  const path = `/v1/platforms/${platform.id}`
  expect(await call('PATCH', path, { limits: { runs: 3, bytesPerSecond: 5_000_000 } })).toMatchObject({
    status: 200,
    body: { limits: { ...limits, runs: 3, bytesPerSecond: 5_000_000 } },
  })
  expect((await call('PATCH', path, { limits: { bytesPerSecond: null } })).body.limits).toEqual({ ...limits, runs: 3 })
  for (const body of [
    {},
    { limits: {} },
    { limits: { runs: 0 } },
    { limits: { runs: 1.5 } },
    { limits: { colour: 1 } },
    { limits: { bytesPerSecond: 9 } },
  ]) {
    expect(await call('PATCH', path, body)).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST' } })
  }
  expect((await call('GET', '/v1/platforms')).body.items[0].limits).toEqual({ ...limits, runs: 3 })
})

test.each([
  ['GET', '/v1/runs/nonsense', 400, 'BAD_REQUEST'],
  ['GET', '/v1/runs?limit=0', 400, 'BAD_REQUEST'],
  ['GET', '/v1/runs?limit=501', 400, 'BAD_REQUEST'],
  ['GET', '/v1/runs?colour=red', 400, 'BAD_REQUEST'],
  ['GET', '/v1/runs/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11', 404, 'NOT_FOUND'],
  ['GET', '/v1/runs/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/events', 404, 'NOT_FOUND'],
  ['GET', '/v1/vms/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/points', 404, 'NOT_FOUND'],
  ['POST', '/v1/runs/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/pause', 404, 'NOT_FOUND'],
  ['POST', '/v1/runs/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/resume', 404, 'NOT_FOUND'],
  ['DELETE', '/v1/platforms/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11', 404, 'NOT_FOUND'],
  ['POST', '/v1/platforms/0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11/sync', 404, 'NOT_FOUND'],
  ['GET', '/v1/nothing', 404, 'ROUTE_NOT_FOUND'],
  ['GET', '/nothing', 404, 'ROUTE_NOT_FOUND'],
] as const)('%s %s is %i %s', async (method, url, status, code) => {
  expect(await call(method, url)).toMatchObject({ status, body: { code, message: expect.any(String), help: expect.any(String) } })
})

test('a backup without any body is one with the defaults', async () => {
  const vm = await aVm()
  expect(await call('POST', `/v1/vms/${vm.id}/backups`)).toMatchObject({ status: 202, body: { options: {} } })
})

test('a message of validation names the field', async () => {
  const vm = await aVm()
  const { body } = await call('POST', `/v1/vms/${vm.id}/backups`, { full: 'yes' })
  expect(body.message).toMatch(/full/)
  expect((await call('POST', `/v1/vms/${vm.id}/backups`, { ful: true })).body.message).toMatch(/ful\b/)
})

test.each([
  ['{', 'application/json', 400, 'BAD_REQUEST'],
  [`{"name":"${'x'.repeat(70_000)}"}`, 'application/json', 413, 'BODY_TOO_LARGE'],
  ['<xml/>', 'text/xml', 415, 'MEDIA_TYPE_UNSUPPORTED'],
])('a body like %.12s as %s is refused', async (payload, type, status, code) => {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': type }
  const response = await app.inject({ method: 'POST', url: '/v1/platforms', headers, payload })
  expect([response.statusCode, response.json().code]).toEqual([status, code])
})

test('what was not thrown on purpose is hidden, and the catalog refusing us is not the caller being refused', async () => {
  memory.listVms = async () => {
    throw new Error('password of 10.0.0.7 is hunter2')
  }
  const answer = await call('GET', '/v1/vms')
  expect(answer).toMatchObject({ status: 500, body: { code: 'INTERNAL', retryable: true } })
  expect(JSON.stringify(answer.body)).not.toMatch(/hunter2|10\.0/)
})

test('readyz follows the catalog', async () => {
  await app.close()
  let now = 0
  app = await buildApi({ catalog: memory.catalog, openPlatform: openScriptedPlatform([]), token: TOKEN, log, now: () => now })
  expect((await app.inject({ url: '/readyz' })).statusCode).toBe(200)
  memory.listPlatforms = async () => {
    throw new Error('gone')
  }
  now = 5000
  expect((await app.inject({ url: '/readyz' })).statusCode).toBe(503)
})

test('a list of VMs that is old is read again; a platform that fails then does not fail the list', async () => {
  await app.close()
  let now = 1_000_000
  let listed = 0
  const open = openScriptedPlatform(SCRIPTED_VMS)
  app = await buildApi({
    catalog: memory.catalog,
    openPlatform(connection) {
      listed += 1
      if (listed > 4) throw new Error('broken')
      return open(connection)
    },
    token: TOKEN,
    log,
    now: () => now,
  })
  const added = await call('POST', '/v1/platforms', NEW_PLATFORM)
  expect(listed).toBe(2)
  await call('GET', '/v1/vms')
  expect(listed).toBe(2)
  now += 300_000
  await Promise.all([call('GET', '/v1/vms'), call('GET', '/v1/vms')])
  expect(listed).toBe(3)
  expect((await call('POST', `/v1/platforms/${added.body.id}/sync`)).body.vms).toBe(SCRIPTED_VMS.length)
  now += 300_000
  expect((await call('GET', '/v1/vms')).body.items).toHaveLength(SCRIPTED_VMS.length)
  expect((await call('GET', '/v1/platforms')).body.items[0].inventory).toMatchObject({ code: 'INTERNAL', message: 'broken' })
})
