import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { startPostgres } from '@varve/postgres'
import type { Closer } from '@varve/runtime'
import { freePort } from './free-port.ts'
import { ROOT } from './system.ts'

/** Varve as separate processes, the way containers run it. */
export interface Processes {
  readonly apiUrl: string
  readonly token: string
  /** By service; several of one kind are `block-reader-1`, `block-reader-2`, … */
  readonly children: ReadonlyMap<string, ChildProcess>
  /** Start one more of a kind. */
  start(service: 'snapshot' | 'block-reader' | 'block-writer'): ChildProcess
}

export interface ProcessesOptions {
  readonly folder: string
  readonly closer: Closer
  /** Default: queues in the same PostgreSQL. */
  readonly queueUrl?: string
  /** Default: a directory in the folder. */
  readonly repositoryUrl?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly readers?: number
  readonly writers?: number
}

export async function startProcesses(options: ProcessesOptions): Promise<Processes> {
  const { folder, closer } = options
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
  closer.add('postgres', () => postgres.close())
  const catalogPort = await freePort()
  const apiPort = await freePort()
  const token = randomBytes(24).toString('hex')
  const environment: Record<string, string> = {
    VARVE_DATABASE_URL: postgres.url,
    VARVE_QUEUE_URL: options.queueUrl ?? postgres.url,
    VARVE_REPOSITORY_URL: options.repositoryUrl ?? `file://${join(folder, 'repository')}`,
    VARVE_CATALOG_PORT: String(catalogPort),
    VARVE_CATALOG_URL: `http://127.0.0.1:${catalogPort}`,
    VARVE_CATALOG_TOKEN: randomBytes(24).toString('hex'),
    VARVE_API_PORT: String(apiPort),
    VARVE_API_TOKEN: token,
    VARVE_LOG_LEVEL: process.env.VARVE_TEST_LOG ?? 'warn',
    ...options.environment,
  }
  const children = new Map<string, ChildProcess>()
  const start = (service: string): ChildProcess => {
    const child = spawn(process.execPath, [join(ROOT, 'services', service, 'dist', 'main.js')], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    let name = service
    for (let n = 2; children.has(name); n += 1) name = `${service}-${n}`
    children.set(name, child)
    closer.add(name, async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    })
    return child
  }
  start('catalog')
  await answers(`${environment.VARVE_CATALOG_URL}/healthz`)
  // The snapshot service makes the repository when there is none; the workers wait for it at their first range.
  start('snapshot')
  for (let i = 0; i < (options.readers ?? 1); i += 1) start('block-reader')
  for (let i = 0; i < (options.writers ?? 1); i += 1) start('block-writer')
  start('api')
  const apiUrl = `http://127.0.0.1:${apiPort}`
  await answers(`${apiUrl}/healthz`)
  return { apiUrl, token, children, start }
}

async function answers(url: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await fetch(url, { signal: AbortSignal.timeout(1000) })
      return
    } catch (error) {
      if (attempt > 200) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}
