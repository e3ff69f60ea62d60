import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@varve/postgres'
import { startMinio } from '@varve/repository/testing'
import { Closer } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchProcesses, type Processes } from '../support/processes.ts'
import { startRedis } from '../support/redis.ts'
import { makeRelay, type Relay } from '../support/relay.ts'
import { missingTool } from '../support/tools.ts'

/** Everything started in the wrong order, and later everything that the services need taken away for a while. */

const closer = new Closer()
let logs: string
let missing: string | undefined
let database: Relay
let queue: Relay
let store: Relay
let varve: Processes

beforeAll(async () => {
  missing = missingTool('redis-server')
  if (missing !== undefined) return
  const minio = await startMinio()
  if (typeof minio === 'string') {
    missing = minio
    return
  }
  closer.add('minio', () => minio.close())
  const redis = await startRedis()
  closer.add('redis', () => redis.close())
  const folder = await mkdtemp(join(tmpdir(), 'varve-start-order-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))
  logs = join(folder, 'logs')
  await mkdir(logs)
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
  closer.add('postgres', () => postgres.close())
  const url = new URL(postgres.url)
  database = await makeRelay({ path: join(url.searchParams.get('host') ?? '', '.s.PGSQL.5432') })
  queue = await makeRelay({ host: '127.0.0.1', port: Number(new URL(redis.url).port) })
  store = await makeRelay({ host: '127.0.0.1', port: Number(new URL(minio.settings.endpoint).port) })
  closer.add('relays', async () => void (await Promise.all([database.cut(), queue.cut(), store.cut()])))
  varve = await launchProcesses({
    folder,
    closer,
    logs,
    order: ['api', 'maintenance', 'block-writer', 'block-reader', 'snapshot', 'catalog'],
    databaseUrl: `postgres://${url.username}@127.0.0.1:${database.port}/varve`,
    queueUrl: `redis://127.0.0.1:${queue.port}/0`,
    repositoryUrl: 's3://varve/start-order',
    environment: {
      VARVE_S3_ENDPOINT: `http://127.0.0.1:${store.port}`,
      VARVE_S3_ACCESS_KEY: minio.settings.accessKey,
      VARVE_S3_SECRET_KEY: minio.settings.secretKey,
      VARVE_S3_CREATE_BUCKET: 'true',
      VARVE_LOG_LEVEL: 'info',
    },
  })
}, 60_000)
afterAll(() => closer.close(), 60_000)

/** By service, what it says that does not answer; null while nobody listens there yet. */
async function missingByService(): Promise<Record<string, readonly string[] | null>> {
  const entries = [...varve.healthUrls].map(async ([name, url]) => {
    try {
      const answer = (await (await fetch(`${url}/readyz`)).json()) as { missing?: string[] }
      return [name, answer.missing ?? []] as const
    } catch {
      return [name, null] as const
    }
  })
  return Object.fromEntries(await Promise.all(entries))
}

async function waitUntil(wanted: Readonly<Record<string, readonly string[]>>): Promise<void> {
  await expect.poll(missingByService, { timeout: 40_000, interval: 200 }).toEqual(wanted)
}

const OF_WORKERS = ['catalog', 'queue', 'repository']
const DEPENDENCIES: Readonly<Record<string, readonly string[]>> = {
  catalog: ['database', 'queue'],
  api: ['catalog'],
  snapshot: OF_WORKERS,
  'block-reader': OF_WORKERS,
  'block-writer': OF_WORKERS,
  maintenance: ['catalog', 'repository'],
}

/** What a service has said about what it needs, each as often as it was said, sorted. */
async function said(name: string): Promise<string[]> {
  const lines = (await readFile(join(logs, `${name}.log`), 'utf8')).trim().split('\n')
  const texts = lines.map(line => (JSON.parse(line) as { msg: string }).msg)
  return texts.filter(text => /^waiting for|is there$/.test(text)).sort()
}

const WORKERS = ['snapshot', 'block-reader', 'block-writer'] as const
const all = (ofCatalog: readonly string[], ofWorkers: readonly string[], ofApi: readonly string[]): Record<string, readonly string[]> => ({
  catalog: ofCatalog,
  api: ofApi,
  maintenance: ofWorkers.filter(name => name !== 'queue'),
  ...Object.fromEntries(WORKERS.map(name => [name, ofWorkers])),
})

test('services that are started before what they need live, say once what they wait for, and go on when it comes', async ctx => {
  if (missing !== undefined) return ctx.skip(missing)
  await waitUntil(all(['database', 'queue'], ['catalog', 'queue', 'repository'], ['catalog']))
  for (const url of varve.healthUrls.values()) expect((await fetch(`${url}/healthz`)).status).toBe(200)
  for (const [name, dependencies] of Object.entries(DEPENDENCIES)) {
    // The catalog opens one after the other, so that it speaks of its database later.
    const wanted = dependencies.filter(dependency => dependency !== 'database').map(dependency => `waiting for the ${dependency}`)
    await expect.poll(() => said(name), { timeout: 20_000, message: name }).toEqual(wanted)
  }
  await store.open()
  await waitUntil(all(['database', 'queue'], ['catalog', 'queue'], ['catalog']))
  await queue.open()
  await waitUntil(all(['database'], ['catalog'], ['catalog']))
  await expect.poll(() => said('catalog'), { timeout: 20_000 }).toContain('waiting for the database')
  await database.open()
  await waitUntil(all([], [], []))
  const answer = await fetch(`${varve.apiUrl}/v1/platforms`, { headers: { authorization: `Bearer ${varve.token}` } })
  expect(answer.status).toBe(200)
  for (const [name, dependencies] of Object.entries(DEPENDENCIES)) {
    const wanted = dependencies.flatMap(dependency => [`the ${dependency} is there`, `waiting for the ${dependency}`]).sort()
    // The api serves meanwhile, and notices a few seconds later.
    await expect.poll(() => said(name), { timeout: 10_000, message: name }).toEqual(wanted)
  }
}, 120_000)

test('what goes away and comes back is connected to again by the same processes', async ctx => {
  if (missing !== undefined) return ctx.skip(missing)
  const relays: readonly [Relay, Record<string, readonly string[]>][] = [
    [queue, all(['queue'], ['queue'], [])],
    [store, all([], ['repository'], [])],
    [database, all(['database'], ['catalog'], ['catalog'])],
  ]
  for (const [relay, gone] of relays) {
    await relay.cut()
    await waitUntil(gone)
    await relay.open()
    await waitUntil(all([], [], []))
  }
  for (const [name, child] of varve.children) expect(child.exitCode ?? child.signalCode, name).toBeNull()
}, 120_000)
