import { afterEach, beforeEach, expect, test } from 'vitest'
import { type HealthServer, startHealthServer } from './health-server.ts'
import { createLogger } from './log.ts'
import { Metrics } from './metrics.ts'
import { Readiness } from './readiness.ts'

const log = createLogger('test', 'silent')
let readiness: Readiness
let metrics: Metrics
let health: HealthServer

beforeEach(async () => {
  readiness = new Readiness(['queue', 'store'], { boundMs: 50 })
  metrics = Metrics.ofProcess('test')
  health = await startHealthServer({ listen: '127.0.0.1:0', readiness, metrics, log })
})
afterEach(() => health.close())

const get = async (path: string): Promise<{ status: number; text: string }> => {
  const answer = await fetch(health.url + path)
  return { status: answer.status, text: await answer.text() }
}

test('a process is alive from the start, and ready when all that it needs answers', async () => {
  expect(await get('/healthz')).toMatchObject({ status: 200 })
  expect(await get('/readyz')).toEqual({ status: 503, text: '{"status":"not-ready","missing":["queue","store"]}\n' })
  readiness.set('queue', async () => 1)
  readiness.set('store', async () => {
    throw new Error('away')
  })
  expect(await get('/readyz')).toEqual({ status: 503, text: '{"status":"not-ready","missing":["store"]}\n' })
  readiness.set('store', async () => 1)
  expect(await get('/readyz')).toMatchObject({ status: 200 })
})

test('a service that still starts is not ready, though all that it needs answers', async () => {
  const starting = new Readiness(['queue'], { starting: true })
  starting.set('queue', async () => {})
  expect(await starting.report()).toEqual({ ready: false, missing: [] })
  starting.started()
  expect(await starting.report()).toEqual({ ready: true, missing: [] })
})

test('a check that hangs is given up within the bound, and not started a second time', async () => {
  let started = 0
  let release = (): void => {}
  readiness.set('queue', async () => 1)
  readiness.set('store', () => {
    started += 1
    return new Promise<void>(resolve => {
      release = resolve
    })
  })
  for (let i = 0; i < 3; i += 1) expect(await get('/readyz')).toMatchObject({ status: 503 })
  expect(started).toBe(1)
  release()
  await new Promise(resolve => setImmediate(resolve))
  expect(await get('/readyz')).toMatchObject({ status: 200 })
})

test('metrics come in the text format, those of Node with them, and asking twice for a name gives the same one', async () => {
  metrics.counter('varve_test_total', 'A test.', ['kind']).inc({ kind: 'a' }, 2)
  metrics.counter('varve_test_total', 'A test.', ['kind']).inc({ kind: 'a' })
  metrics.gauge('varve_depth', 'A depth.', ['queue'], async () => [{ labels: { queue: 'q' }, value: 7 }])
  metrics.gauge('varve_away', 'Nobody answers.', [], async () => {
    throw new Error('away')
  })
  const { status, text } = await get('/metrics')
  expect(status).toBe(200)
  expect(text).toContain('varve_test_total{kind="a",service="test"} 3')
  expect(text).toContain('varve_depth{queue="q",service="test"} 7')
  expect(text).not.toMatch(/^varve_away/m)
  expect(text).toMatch(/^process_resident_memory_bytes/m)
})

test('everything else is refused, and a port that is taken is one clear error', async () => {
  expect(await get('/')).toMatchObject({ status: 404 })
  expect((await fetch(`${health.url}/healthz`, { method: 'POST', body: 'x' })).status).toBe(405)
  const listen = new URL(health.url).host
  await expect(startHealthServer({ listen, readiness, metrics, log })).rejects.toMatchObject({ code: 'LISTEN_FAILED' })
  await expect(startHealthServer({ listen: 'nowhere', readiness, metrics, log })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})
