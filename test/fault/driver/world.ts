import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { connect, type NetConnectOpts } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import type { StoreSettings } from '@varve/repository'
import { Closer, createLogger, freePort } from '@varve/runtime'
import { makeRelay, type Relay } from '../../support/relay.ts'
import { type PlatformUnderTest, ROOT, startPlatform } from '../../support/system.ts'
import { findTool } from '../../support/tools.ts'
import { DatabaseServer } from './database.ts'
import { httpCall } from './http-call.ts'
import type { KnownPoint } from './stored-points.ts'
import { Supervised } from './supervised.ts'

export type Relayed = 'database' | 'queue' | 'store'

export interface StoreProxy {
  readonly endpoint: string
  close(): Promise<void>
}

export interface WorldOptions {
  /** What the services reach through a relay only, which faults cut and move. */
  readonly relayed?: readonly Relayed[]
  readonly environment?: Readonly<Record<string, string>>
  /** The same, where it depends on the folder of the world. */
  readonly environmentOf?: (folder: string) => Promise<Readonly<Record<string, string>>>
  readonly readers?: number
  readonly writers?: number
  /** Stands between the services and MinIO: told where MinIO is and how to log in, it answers the endpoint that services get, and how to end it. */
  readonly storeProxy?: (target: StoreSettings & { readonly endpoint: string }) => Promise<StoreProxy>
  /** The repository in place of the one in MinIO: made in the folder, it answers its URL and how to take it away. */
  readonly repository?: (folder: string) => Promise<{ readonly url: string; close(): Promise<void> }>
}

/** Every service as a process, their servers, and a reference platform; each can be killed and started again. */
export interface World {
  readonly folder: string
  readonly options: WorldOptions
  /** By name: `catalog`, `api`, `snapshot`, `snapshot-2`, `block-reader`, `block-reader-2`, …; those of services only. */
  readonly services: ReadonlyMap<string, Supervised>
  readonly database: DatabaseServer
  readonly redis: Supervised
  readonly minio: Supervised
  readonly relays: ReadonlyMap<Relayed, Relay>
  /** The one that runs now. */
  readonly platform: PlatformUnderTest
  restartPlatform(): Promise<void>
  readonly driver: PlatformDriver
  readonly platformId: string
  readonly repositoryUrl: string
  /** Past every relay and proxy. */
  readonly storeSettings: StoreSettings
  /** What `options.storeProxy` made. */
  readonly storeProxy: StoreProxy | undefined
  /** Of all VMs, as they were sealed. */
  readonly points: KnownPoint[]
  addService(service: string): Promise<Supervised>
  /** Until every service that runs says that it is ready. */
  ready(): Promise<void>
  /** Start what does not run: servers first. */
  startAll(): Promise<void>
  api<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  platformCall<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  /** One command to Redis, past the relay; its first line of answer. */
  redisCommand(command: string): Promise<string>
  /** A number of Redis' `INFO`. */
  redisNumber(name: string): Promise<number>
  close(): Promise<void>
}

/** Short waits, so that a story takes seconds; the proportions are those of a real installation. */
const ENVIRONMENT = {
  VARVE_LOG_LEVEL: 'info',
  VARVE_LANES: '1',
  VARVE_QUEUE_LOCK_SECONDS: '4',
  VARVE_RECONCILE_INTERVAL: '1',
  VARVE_RECONCILE_SILENCE: '6',
  VARVE_LEASE_RENEW_SECONDS: '5',
  VARVE_LEASE_SECONDS: '60',
  VARVE_STOP_SECONDS: '8',
  VARVE_RANGE_BYTES: String(2 * 1024 * 1024),
} as const

export function findMinio(): string | undefined {
  return [process.env.VARVE_TEST_MINIO, join(homedir(), '.cache/varve/bin/minio')].find(file => file !== undefined && existsSync(file))
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const closer = new Closer()
  try {
    return await open(options, closer)
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}

async function open(options: WorldOptions, closer: Closer): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-fault-'))
  closer.add('folder', () => (process.env.VARVE_FAULT_KEEP ? undefined : rm(folder, { recursive: true, force: true })))
  const logs = join(folder, 'logs')
  await mkdir(logs)
  const supervise = (name: string, command: Omit<ConstructorParameters<typeof Supervised>[1], 'logFile'>): Supervised => {
    const supervised = new Supervised(name, { ...command, logFile: join(logs, `${name}.log`) })
    closer.add(name, () => supervised.kill('SIGTERM'))
    return supervised
  }

  const platformPort = await freePort()
  const nbdPort = await freePort()
  const platformArgs = ['--faults', '--nbd-port', String(nbdPort)]
  const startThePlatform = (): Promise<PlatformUnderTest> => startPlatform(join(folder, 'platform'), platformArgs, platformPort)
  let platform = await startThePlatform()
  closer.add('platform', () => platform.stop())
  const log = createLogger('fault', 'silent')
  const driver = await openPlatform({ id: 'fault', kind: 'scp', url: platform.url, credentials: platform.credentials }, { log })
  closer.add('driver', () => driver.close())

  const database = new DatabaseServer(join(folder, 'postgres'))
  await database.start()
  closer.add('database', () => database.stop())
  const redisPort = await freePort()
  const redis = supervise('redis', {
    program: findTool('redis-server') ?? 'redis-server',
    args: ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder],
    env: process.env,
  })
  redis.start()
  const minioPort = await freePort()
  const minioUrl = `http://127.0.0.1:${minioPort}`
  const secretKey = randomBytes(20).toString('hex')
  const minio = supervise('minio', {
    program: findMinio() ?? 'minio',
    args: ['server', '--quiet', '--address', `127.0.0.1:${minioPort}`, join(folder, 'minio')],
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      MINIO_ROOT_USER: 'varve',
      MINIO_ROOT_PASSWORD: secretKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    },
    readyUrl: `${minioUrl}/`,
  })
  minio.start()
  await minio.ready()
  const storeSettings = { endpoint: minioUrl, region: 'us-east-1', accessKey: 'varve', secretKey, createBucket: true }

  const relays = new Map<Relayed, Relay>()
  const targets: Record<Relayed, NetConnectOpts | (() => NetConnectOpts)> = {
    database: () => ({ path: database.socket }),
    queue: { host: '127.0.0.1', port: redisPort },
    store: { host: '127.0.0.1', port: minioPort },
  }
  for (const name of options.relayed ?? []) {
    const relay = await makeRelay(targets[name])
    await relay.open()
    closer.add(`relay of ${name}`, () => relay.cut())
    relays.set(name, relay)
  }
  const portOf = (name: Relayed, own: number): number => relays.get(name)?.port ?? own
  let endpoint = `http://127.0.0.1:${portOf('store', minioPort)}`
  const storeProxy = await options.storeProxy?.({ ...storeSettings, endpoint })
  if (storeProxy !== undefined) {
    closer.add('store proxy', () => storeProxy.close())
    endpoint = storeProxy.endpoint
  }
  const [catalogPort, apiPort] = [await freePort(), await freePort()]
  const token = randomBytes(24).toString('hex')
  const databaseRelay = relays.get('database')
  const repository = await options.repository?.(folder)
  if (repository !== undefined) closer.add('repository', () => repository.close())
  const repositoryUrl = repository?.url ?? 's3://varve/repository'
  const environment = {
    ...ENVIRONMENT,
    VARVE_DATABASE_URL:
      databaseRelay === undefined ? database.url : `postgres://${new URL(database.url).username}@127.0.0.1:${databaseRelay.port}/varve`,
    VARVE_QUEUE_URL: `redis://127.0.0.1:${portOf('queue', redisPort)}/0`,
    VARVE_REPOSITORY_URL: repositoryUrl,
    VARVE_S3_ENDPOINT: endpoint,
    VARVE_S3_ACCESS_KEY: 'varve',
    VARVE_S3_SECRET_KEY: secretKey,
    VARVE_S3_CREATE_BUCKET: 'true',
    VARVE_CATALOG_PORT: String(catalogPort),
    VARVE_CATALOG_URL: `http://127.0.0.1:${catalogPort}`,
    VARVE_CATALOG_TOKEN: randomBytes(24).toString('hex'),
    VARVE_API_PORT: String(apiPort),
    VARVE_API_TOKEN: token,
    ...options.environment,
    ...(await options.environmentOf?.(folder)),
  }

  const services = new Map<string, Supervised>()
  const addService = async (service: string): Promise<Supervised> => {
    const health = `127.0.0.1:${await freePort()}`
    let name = service
    for (let n = 2; services.has(name); n += 1) name = `${service}-${n}`
    const supervised = supervise(name, {
      program: process.execPath,
      args: [join(ROOT, 'services', service, 'dist', 'main.js')],
      env: { ...process.env, ...environment, VARVE_HEALTH_LISTEN: health },
      readyUrl: `http://${health}/readyz`,
    })
    services.set(name, supervised)
    supervised.start()
    return supervised
  }
  const times = (n: number, service: string): string[] => Array.from({ length: n }, () => service)
  const wanted = [
    'catalog',
    'snapshot',
    'snapshot',
    ...times(options.readers ?? 2, 'block-reader'),
    ...times(options.writers ?? 2, 'block-writer'),
    'api',
  ]
  if (existsSync(join(ROOT, 'services', 'maintenance', 'dist', 'main.js'))) wanted.push('maintenance')
  for (const service of wanted) await addService(service)

  let platformId = ''
  const world: World = {
    folder,
    options,
    services,
    database,
    redis,
    minio,
    relays,
    get platform() {
      return platform
    },
    async restartPlatform() {
      await platform.stop('SIGKILL')
      platform = await startThePlatform()
    },
    driver,
    get platformId() {
      return platformId
    },
    repositoryUrl,
    storeSettings,
    storeProxy,
    points: [],
    addService,
    async ready() {
      await Promise.all([...services.values()].filter(service => service.running).map(service => service.ready()))
    },
    async startAll() {
      await database.start()
      redis.start()
      minio.start()
      for (const service of services.values()) service.start()
    },
    async api<Answer>(method: string, path: string, body?: unknown) {
      const { status, text } = await httpCall(method, `http://127.0.0.1:${apiPort}${path}`, {
        headers: { authorization: `Bearer ${token}` },
        body,
      })
      if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text.slice(0, 500)}`)
      return JSON.parse(text) as Answer
    },
    async platformCall<Answer>(method: string, path: string, body?: unknown) {
      const { status, text } = await httpCall(method, `${platform.url}${path}`, { body })
      if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text.slice(0, 500)}`)
      const json = JSON.parse(text) as { data?: Answer }
      return (json.data ?? json) as Answer
    },
    redisCommand: async command => (await redisCommand(redisPort, command)).split('\r\n')[0] ?? '',
    async redisNumber(name) {
      const found = new RegExp(`^${name}:(\\d+)`, 'm').exec(await redisCommand(redisPort, 'INFO'))
      if (found === null) throw new Error(`Redis says nothing of ${name}`)
      return Number(found[1])
    },
    close: () => closer.close(),
  }
  await world.ready()
  const { id } = await world.api<{ id: string }>('POST', '/v1/platforms', {
    name: 'lab',
    kind: 'scp',
    url: platform.url,
    credentials: platform.credentials,
  })
  platformId = id
  return world
}

function redisCommand(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`))
    socket.setTimeout(5000, () => socket.destroy(new Error('Redis did not answer')))
    socket.once('error', reject)
    socket.once('data', bytes => {
      socket.destroy()
      resolve(bytes.toString())
    })
  })
}
