import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { startPostgres } from '@varve/postgres'
import { type Closer, freePort, waitFor } from '@varve/runtime'
import pg from 'pg'
import { startRedis } from '../../support/redis.ts'
import { ROOT } from '../../support/system.ts'

export const TOKEN = 'token-of-the-simulated-night'

export interface Databases {
  readonly databaseUrl: string
  readonly postgresPid: number
  readonly redisUrl: string
  readonly redisPid: number
}

/** PostgreSQL as `startPostgres` sets it up, with pg_stat_statements on, and a Redis. */
export async function startDatabases(folder: string, closer: Closer): Promise<Databases> {
  const dataDir = join(folder, 'postgres')
  const first = await startPostgres({ dataDir })
  await statement(first.url, `alter system set shared_preload_libraries = 'pg_stat_statements'`)
  await first.close()
  const postgres = await startPostgres({ dataDir })
  closer.add('postgres', () => postgres.close())
  await statement(postgres.url, 'create extension if not exists pg_stat_statements')
  const redis = await startRedis()
  closer.add('redis', () => redis.close())
  return { databaseUrl: postgres.url, postgresPid: postgres.pid, redisUrl: redis.url, redisPid: redis.pid }
}

async function statement(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

export interface CatalogProcess {
  readonly url: string
  readonly pid: number
  close(): Promise<void>
}

/** The catalog service as it is installed: a process of its own. */
export async function startCatalog(
  { databaseUrl, redisUrl }: Databases,
  folder: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<CatalogProcess> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const log = await open(join(folder, 'catalog.log'), 'a')
  const child = spawn(process.execPath, [join(ROOT, 'services/catalog/dist/main.js')], {
    env: {
      PATH: process.env.PATH,
      VARVE_DATABASE_URL: databaseUrl,
      VARVE_QUEUE_URL: redisUrl,
      VARVE_CATALOG_TOKEN: TOKEN,
      VARVE_CATALOG_PORT: String(port),
      VARVE_LOG_LEVEL: 'warn',
      ...settings,
    },
    stdio: ['ignore', log.fd, log.fd],
  })
  await log.close()
  const ended = once(child, 'exit')
  const ready = async (): Promise<void> => {
    if (child.exitCode !== null) throw new Error(`the catalog ended with ${child.exitCode}; see ${folder}/catalog.log`)
    const answer = await fetch(`${url}/readyz`)
    if (!answer.ok) throw new Error(`the catalog is not ready: ${await answer.text()}`)
  }
  await waitFor('catalog', ready, { log: silent, isPassing: () => child.exitCode === null })
  return {
    url,
    pid: child.pid!,
    async close() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

const silent = { info() {}, warn() {}, error() {}, debug() {} } as never
