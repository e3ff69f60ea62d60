import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '@varve/runtime'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { findBinaries } from './binaries.ts'
import { isAlive } from './postmaster.ts'
import { type EmbeddedPostgres, startPostgres } from './start-postgres.ts'

let folder: string
/** A data directory that the tests share which don't need a fresh one: initdb is what takes time. */
let shared: string
const running: EmbeddedPostgres[] = []
const children: ChildProcess[] = []
beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), 'varve-postgres-test-'))
})
afterAll(() => rm(shared, { recursive: true, force: true }))
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-postgres-test-'))
  await chmod(folder, 0o755)
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const postgres of running.splice(0)) await postgres.close()
  await rm(folder, { recursive: true, force: true })
})

async function start(dataDir: string, options: object = {}): Promise<EmbeddedPostgres> {
  const postgres = await startPostgres({ dataDir, ...options })
  running.push(postgres)
  return postgres
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

/** Another Node process that starts the server and stays; `dist` because Node runs no TypeScript. */
async function startInChild(dataDir: string): Promise<{ child: ChildProcess; pid: number }> {
  const entry = new URL('../dist/index.js', import.meta.url).href
  const script = `import { startPostgres } from '${entry}'
    const p = await startPostgres({ dataDir: process.argv[1] }); console.log(p.pid); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  return { child, pid: Number(line.toString()) }
}

test('the first start makes a cluster that answers over a unix socket only; data outlives a stop', async () => {
  const first = await start(join(folder, 'pg'))
  const [facts] = await query(
    first.url,
    `select current_database() as db, current_user as who, current_setting('listen_addresses') as tcp, current_setting('data_checksums') as sums,
            current_setting('max_connections')::integer as connections, current_setting('fsync') as fsync,
            (select datlocprovider::text from pg_database where datname = current_database()) as provider`,
  )
  expect(facts).toMatchObject({ db: 'varve', who: 'varve', tcp: '', sums: 'on', fsync: 'on' })
  expect(facts?.connections).toBeGreaterThanOrEqual(100)
  const socketDir = decodeURIComponent(/host=(.*)/.exec(first.url)![1]!)
  expect((await stat(socketDir)).mode & 0o777).toBe(0o700)
  await query(first.url, 'create table t as select 42 as n')
  await first.close()
  await first.close()
  expect(isAlive(first.pid)).toBe(false)
  await expect(access(join(folder, 'pg', 'owner'))).rejects.toThrow()

  const second = await start(join(folder, 'pg'))
  expect(second.adopted).toBe(false)
  expect(await query(second.url, 'select n from t')).toEqual([{ n: 42 }])
})

test('a server whose parent was killed is adopted, and stopped by the new one', async () => {
  const { child, pid } = await startInChild(shared)
  await expect(startPostgres({ dataDir: shared })).rejects.toMatchObject({ code: 'POSTGRES_IN_USE' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(isAlive(pid)).toBe(true)
  const adopted = await start(shared)
  expect(adopted).toMatchObject({ adopted: true, pid })
  expect(await query(adopted.url, 'select 1 as one')).toEqual([{ one: 1 }])
  await adopted.close()
  expect(isAlive(pid)).toBe(false)
})

test('a server that was killed itself recovers what was committed', async () => {
  const first = await start(shared)
  await query(first.url, 'create table t as select generate_series(1, 1000) as n')
  process.kill(first.pid, 'SIGKILL')
  await first.close()
  const second = await start(shared)
  expect(await query(second.url, 'select count(*)::integer as n from t')).toEqual([{ n: 1000 }])
})

test('one process cannot open a folder twice; after a failed start it can', async () => {
  const dataDir = shared
  await expect(startPostgres({ dataDir, binaries: '/nonexistent' })).rejects.toMatchObject({ code: 'POSTGRES_NOT_FOUND' })
  await start(dataDir)
  await expect(startPostgres({ dataDir })).rejects.toMatchObject({ code: 'POSTGRES_IN_USE' })
})

test('a path too long for a unix socket gets a short socket folder, which goes again', async () => {
  const postgres = await start(join(folder, 'x'.repeat(100)))
  const socketDir = decodeURIComponent(/host=(.*)/.exec(postgres.url)![1]!)
  expect(socketDir.length).toBeLessThan(90)
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }])
  await postgres.close()
  await expect(access(socketDir)).rejects.toThrow()
})

test('data of another major version is refused by name', async () => {
  const dataDir = join(folder, 'pg')
  await mkdir(join(dataDir, 'cluster'), { recursive: true })
  await writeFile(join(dataDir, 'cluster', 'PG_VERSION'), '9\n')
  await expect(startPostgres({ dataDir })).rejects.toMatchObject({ code: 'POSTGRES_VERSION', context: { data: 9 } })
})

test('an initdb that was interrupted is done again', async () => {
  const dataDir = join(folder, 'pg')
  await mkdir(join(dataDir, 'cluster.new', 'base'), { recursive: true })
  await writeFile(join(dataDir, 'cluster.new', 'PG_VERSION'), '18\n')
  const postgres = await start(dataDir)
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a server that ends while starting is told with the end of its log', async () => {
  const dataDir = shared
  await (await start(dataDir)).close()
  const conf = join(dataDir, 'cluster', 'postgresql.conf')
  const good = await readFile(conf, 'utf8')
  await writeFile(conf, `${good}\nno_such_setting = 1\n`)
  await expect(startPostgres({ dataDir })).rejects.toMatchObject({
    code: 'POSTGRES_START_FAILED',
    message: expect.stringContaining('no_such_setting'),
  })
  await writeFile(conf, good)
})

test('a folder that cannot be made is told', async () => {
  await writeFile(join(folder, 'file'), '')
  await expect(startPostgres({ dataDir: join(folder, 'file', 'pg') })).rejects.toMatchObject({ code: 'POSTGRES_DATA_DIR' })
})

test('as root, a folder closed to the server account still works, and the log says how', async ctx => {
  if (process.getuid?.() !== 0) return ctx.skip('not root: the server runs as ourselves')
  const closed = join(folder, 'closed')
  await mkdir(closed, { mode: 0o700 })
  const log = createLogger('postgres-test', 'silent')
  const warn = vi.spyOn(log, 'warn')
  const postgres = await start(join(closed, 'pg'), { log })
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(warn).toHaveBeenCalledOnce()
  expect((await readFile(`/proc/${postgres.pid}/status`, 'utf8')).match(/^Uid:\t(\d+)/m)?.[1]).not.toBe('0')
})

test('the binaries of the system work too', async ctx => {
  const version = ['18', '17', '16', '15'].map(v => `/usr/lib/postgresql/${v}`)
  let found: string | undefined
  for (const candidate of version) if (found === undefined && (await findBinaries(candidate).catch(() => null))) found = candidate
  if (found === undefined) return ctx.skip('no PostgreSQL below /usr/lib/postgresql')
  const postgres = await start(join(folder, 'pg'), { binaries: found })
  expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }])
})
