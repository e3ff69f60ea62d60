import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { startPostgres } from '@varve/postgres'
import { type Closer, freePort, sleep } from '@varve/runtime'
import { StandaloneError } from '../errors.ts'
import { hasEnded, startChild } from './child.ts'
import { inheritedEnvironment } from './config.ts'

export type ServiceName = 'catalog' | 'snapshot' | 'block-reader' | 'block-writer' | 'maintenance' | 'api'

/** Varve as separate processes on one machine, the way containers run it. */
export interface Services {
  readonly apiUrl: string
  readonly token: string
  /** By service; several of one kind are `block-reader`, `block-reader-2`, … */
  readonly children: ReadonlyMap<string, ChildProcess>
  /** Where each answers /healthz, /readyz and /metrics, by the same names. */
  readonly healthUrls: ReadonlyMap<string, string>
  /** What each was started with, besides its own health address. */
  readonly environment: Readonly<Record<string, string>>
  /** Start one more of a kind, with other settings than the rest if wanted. */
  start(service: ServiceName, environment?: Readonly<Record<string, string>>): Promise<ChildProcess>
  /** Until each that runs says that it is ready. @throws StandaloneError SERVICE_ENDED, SERVICE_NOT_READY */
  ready(): Promise<void>
}

export interface ServicesOptions {
  readonly folder: string
  readonly closer: Closer
  /** Default: one that is started in the folder. */
  readonly databaseUrl?: string
  /** Default: queues in the same PostgreSQL. */
  readonly queueUrl?: string
  /** Default: a directory in the folder. */
  readonly repositoryUrl?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly readers?: number
  readonly writers?: number
  /** Port of the api; default any free one. */
  readonly apiPort?: number
  /** Folder for a log file each; default: output goes to ours. */
  readonly logs?: string
  /** The order in which the processes start; none waits for another here. Default: catalog, snapshot, readers, writers, maintenance, api. */
  readonly order?: readonly ServiceName[]
}

/** First start: the database is made, and two cores start seven processes. */
const READY_MS = 60_000
const PAUSE_MS = 100

/** Start the processes and wait until all are ready; the closer ends them. */
export async function startServices(options: ServicesOptions): Promise<Services> {
  const services = await launchServices(options)
  await services.ready()
  return services
}

/** Start the processes, not waiting for anything. */
export async function launchServices(options: ServicesOptions): Promise<Services> {
  const { folder, closer, logs } = options
  const databaseUrl = options.databaseUrl ?? (await ownDatabase(folder, closer))
  const catalogPort = await freePort()
  const apiPort = options.apiPort || (await freePort())
  const token = randomBytes(24).toString('hex')
  const inherited = inheritedEnvironment()
  const environment: Record<string, string> = {
    VARVE_DATABASE_URL: databaseUrl,
    VARVE_QUEUE_URL: options.queueUrl ?? databaseUrl,
    VARVE_REPOSITORY_URL: options.repositoryUrl ?? `file://${join(folder, 'repository')}`,
    VARVE_CATALOG_PORT: String(catalogPort),
    VARVE_CATALOG_URL: `http://127.0.0.1:${catalogPort}`,
    VARVE_CATALOG_TOKEN: randomBytes(24).toString('hex'),
    VARVE_API_PORT: String(apiPort),
    VARVE_API_TOKEN: token,
    ...options.environment,
  }
  const children = new Map<string, ChildProcess>()
  const healthUrls = new Map<string, string>()
  const logFileOf = (name: string): string | undefined => (logs === undefined ? undefined : join(logs, `${name}.log`))
  const start = async (service: ServiceName, more: Readonly<Record<string, string>> = {}): Promise<ChildProcess> => {
    const listen = `127.0.0.1:${await freePort()}`
    let name: string = service
    for (let n = 2; children.has(name); n += 1) name = `${service}-${n}`
    const child = startChild({
      name,
      program: process.execPath,
      args: [...NODE_ARGS, mainOf(service)],
      env: { ...MALLOC, ...inherited, ...environment, ...more, VARVE_HEALTH_LISTEN: listen },
      logFile: logFileOf(name),
      closer,
    })
    children.set(name, child)
    healthUrls.set(name, `http://${listen}`)
    return child
  }
  const ready = async (): Promise<void> => {
    const deadline = Date.now() + READY_MS
    const running = [...children].filter(([, child]) => child.exitCode !== 0)
    await Promise.all(
      running.map(([name, child]) => isReady({ name, child, url: `${healthUrls.get(name)}/readyz`, logFile: logFileOf(name) }, deadline)),
    )
  }
  const readers = Array.from({ length: options.readers ?? 1 }, () => 'block-reader' as const)
  const writers = Array.from({ length: options.writers ?? 1 }, () => 'block-writer' as const)
  for (const service of options.order ?? (['catalog', 'snapshot', ...readers, ...writers, 'maintenance', 'api'] as const))
    await start(service)
  return { apiUrl: `http://127.0.0.1:${apiPort}`, token, children, healthUrls, environment, start, ready }
}

async function ownDatabase(folder: string, closer: Closer): Promise<string> {
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
  closer.add('postgres', () => postgres.close())
  return postgres.url
}

/**
 * As in infra/docker/Dockerfile. V8's young generation of the main thread may otherwise grow to 32 MiB and keep socket buffers alive in it; it has little to do there,
 * and lanes have limits of their own. It can't be set once the process runs.
 */
const NODE_ARGS = ['--max-semi-space-size=4'] as const

/**
 * As there too. What is larger than this goes back to the system once it is freed: without the limit glibc raises it up to 32 MiB as large buffers are freed, and keeps
 * those that follow (10 MiB of a block-reader).
 */
const MALLOC = { MALLOC_MMAP_THRESHOLD_: '131072' } as const

/** A service's main beside what its package exports. */
function mainOf(service: ServiceName): string {
  return join(dirname(createRequire(import.meta.url).resolve(`@varve/${service}`)), 'main.js')
}

interface Starting {
  readonly name: string
  readonly child: ChildProcess
  readonly url: string
  readonly logFile: string | undefined
}

async function isReady({ name, child, url, logFile }: Starting, deadline: number): Promise<void> {
  for (let said = 'nothing'; ; await sleep(PAUSE_MS)) {
    if (hasEnded(child)) {
      const how = `${name} ended with ${child.exitCode ?? child.signalCode ?? 'nothing: it could not be started'}`
      throw new StandaloneError('SERVICE_ENDED', `${how}${await lastLine(logFile)}`, { name })
    }
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(5000) })
      if (answer.ok) return
      said = await answer.text()
    } catch {}
    if (Date.now() > deadline) throw new StandaloneError('SERVICE_NOT_READY', `${name} is not ready: ${said}`, { name })
  }
}

/** The folder of the logs may be gone when the message is read. */
async function lastLine(logFile: string | undefined): Promise<string> {
  const text = logFile === undefined ? '' : await readFile(logFile, 'utf8').catch(() => '')
  const line = text.trim().split('\n').at(-1)
  return line === undefined || line === '' ? '' : `: ${line.slice(0, 1000)}`
}
