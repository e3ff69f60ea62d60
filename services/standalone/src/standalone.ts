import { startApiService } from '@varve/api'
import { startBlockReaderService } from '@varve/block-reader'
import { startBlockWriterService } from '@varve/block-writer'
import { startCatalogService } from '@varve/catalog'
import { type Catalog, createCatalogClient } from '@varve/catalog-client'
import { type MaintenanceDeps, startMaintenance } from '@varve/maintenance'
import { openPlatform } from '@varve/platform'
import { startPostgres } from '@varve/postgres'
import { openQueue, type QueueDoor } from '@varve/queue'
import { openRepositoryAt } from '@varve/range-worker'
import type { StoreSettings } from '@varve/repository'
import { Closer, type Logger, Metrics } from '@varve/runtime'
import { startSnapshotService } from '@varve/snapshot'
import { ERROR_HELP } from './error-help.ts'
import { StandaloneError } from './errors.ts'
import { Home } from './home.ts'

export interface StandaloneOptions {
  /** Folder of database, repository, token and state file. */
  readonly home: string
  /** Port of the API on 127.0.0.1; 0 takes a free one. */
  readonly port: number
  readonly log: Logger
  /** Instead of the embedded PostgreSQL. */
  readonly databaseUrl?: string
  /** Instead of queues in the embedded PostgreSQL. */
  readonly queueUrl?: string
  /** Instead of the directory `<home>/repository`. */
  readonly repositoryUrl?: string
  readonly storeSettings?: StoreSettings
  /** Worker threads that read, and that write; default one a core, at most two. */
  readonly lanes?: number
  /** Requests to the repository at the same time in each thread that writes (default 4). */
  readonly getsInFlight?: number
  /** Of new blocks (default 1). */
  readonly zstdLevel?: number
  /** A range that makes no progress for this long is tried again, ms (default 5 minutes). */
  readonly stallMs?: number
  /** Other settings for checks and the sweeping of leaks. */
  readonly maintenance?: Pick<
    MaintenanceDeps,
    'everySeconds' | 'wholeEverySeconds' | 'silenceSeconds' | 'unfinishedSeconds' | 'unknownAgeSeconds' | 'askMs'
  >
  /** Seconds between two rounds of renewing leases (default 20). */
  readonly renewSeconds?: number
  /** What is read back before a point is sealed; see VARVE_READ_BACK. */
  readonly readBack?: NonNullable<Parameters<typeof startSnapshotService>[0]['readBack']>
  /** Leave the block-reader out (it is started by somebody else). */
  readonly withoutBlockReader?: boolean
}

export interface Standalone {
  readonly apiUrl: string
  readonly token: string
  readonly home: string
  readonly repositoryUrl: string
  /** What the other services use; for tools in the same process. */
  readonly catalog: Catalog
  readonly queue: QueueDoor
  /** Start another block-reader on the same catalog, queue and repository. */
  startBlockReader(): Promise<{ close(): Promise<void> }>
  close(): Promise<void>
}

/**
 * All of Varve in this process: the same builders that the separate processes use, wired to an embedded PostgreSQL (catalog and queue) and a
 * directory repository unless others are given. After kill -9 a new start on the same home takes the database over and goes on with unfinished runs.
 *
 * @throws StandaloneError PORT_IN_USE, ALREADY_RUNNING
 */
export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const closer = new Closer()
  try {
    return await open(options, closer)
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}

async function open(options: StandaloneOptions, closer: Closer): Promise<Standalone> {
  const { log } = options
  const home = new Home(options.home)
  await home.claim()
  const token = await home.secret('token')
  const internalToken = await home.secret('internal-token')

  const repositoryUrl = options.repositoryUrl ?? `file://${home.path('repository')}`
  const storeSettings = options.storeSettings ?? {}
  const metrics = Metrics.ofProcess('standalone')
  const repository = await openRepositoryAt(repositoryUrl, storeSettings, closer)

  const databaseUrl = options.databaseUrl ?? (await embeddedDatabase(home, log, closer))
  const queue = await openQueue(options.queueUrl ?? databaseUrl, {
    log,
    // One process: whoever held a job is dead when we start again, so lost jobs may be taken up soon.
    lockDurationMs: 10_000,
    stalledIntervalMs: 5_000,
  })
  closer.add('queue', () => queue.close())
  const catalogService = await startCatalogService({
    databaseUrl,
    queue,
    listen: { host: '127.0.0.1', port: 0 },
    token: internalToken,
    log,
    metrics,
  })
  closer.add('catalog', () => catalogService.close())
  const catalog = createCatalogClient({ url: catalogService.url, token: internalToken })
  closer.add('catalog client', () => catalog.close())

  const deps = {
    catalog,
    queue,
    repository,
    openPlatform: (...[connection, options]: Parameters<typeof openPlatform>) => openPlatform(connection, { log, ...options }),
    log,
    metrics,
  }
  const lanes = {
    ...(options.lanes === undefined ? {} : { lanes: options.lanes }),
    ...(options.getsInFlight === undefined ? {} : { getsInFlight: options.getsInFlight }),
    ...(options.zstdLevel === undefined ? {} : { zstdLevel: options.zstdLevel }),
    ...(options.stallMs === undefined ? {} : { stallMs: options.stallMs }),
  }
  const startBlockReader = (): Promise<{ close(): Promise<void> }> =>
    startBlockReaderService({ ...deps, repositoryUrl, storeSettings, ...lanes })

  const snapshot = await startSnapshotService({
    ...deps,
    ...(options.renewSeconds === undefined ? {} : { renewSeconds: options.renewSeconds }),
    ...(options.readBack === undefined ? {} : { readBack: options.readBack }),
  })
  closer.add('snapshot', () => snapshot.close())
  if (options.withoutBlockReader !== true) {
    const reader = await startBlockReader()
    closer.add('block-reader', () => reader.close())
  }
  const writer = await startBlockWriterService({ ...deps, repositoryUrl, storeSettings, ...lanes })
  closer.add('block-writer', () => writer.close())

  const maintenance = await startMaintenance({ ...deps, ...options.maintenance })
  closer.add('maintenance', () => maintenance.close())

  const api = await startApi({ ...deps, token, errorHelp: ERROR_HELP }, options.port)
  closer.add('api', () => api.close())
  await home.writeState({ apiUrl: api.url, token, pid: process.pid })
  closer.add('state file', () => home.removeState())
  return { apiUrl: api.url, token, home: home.folder, repositoryUrl, catalog, queue, startBlockReader, close: () => closer.close() }
}

async function embeddedDatabase(home: Home, log: Logger, closer: Closer): Promise<string> {
  const postgres = await startPostgres({ dataDir: home.path('postgres'), log })
  closer.add('postgres', () => postgres.close())
  return postgres.url
}

async function startApi(deps: Omit<Parameters<typeof startApiService>[0], 'listen'>, port: number): ReturnType<typeof startApiService> {
  try {
    return await startApiService({ ...deps, listen: { host: '127.0.0.1', port } })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new StandaloneError('PORT_IN_USE', `port ${port} is in use: stop the program that uses it, or give another with --port`, { port })
  }
}
