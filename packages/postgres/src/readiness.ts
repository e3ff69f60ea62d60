import { sleep } from '@varve/runtime'
import pg from 'pg'
import { SUPERUSER } from './cluster.ts'

export type Readiness = 'ready' | 'ended' | 'timeout'

export function databaseUrl(socketDir: string, database: string): string {
  return `postgres://${SUPERUSER}@localhost/${database}?host=${encodeURIComponent(socketDir)}`
}

/** Connect until it works: the only sign of readiness that cannot lie. A server in recovery refuses, which is not its end. */
export async function waitUntilReady(socketDir: string, ended: () => boolean, timeoutMs: number): Promise<Readiness> {
  const deadline = Date.now() + timeoutMs
  while (Date.now() < deadline) {
    if (ended()) return 'ended'
    const client = await connect(socketDir, 'postgres').catch(() => null)
    if (client !== null) {
      await client.end()
      return 'ready'
    }
    await sleep(20)
  }
  return 'timeout'
}

export async function ensureDatabase(socketDir: string): Promise<void> {
  const client = await connect(socketDir, 'postgres')
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', ['varve'])
    if (rowCount === 0) await client.query('create database varve')
  } finally {
    await client.end()
  }
}

async function connect(socketDir: string, database: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl(socketDir, database), connectionTimeoutMillis: 5000 })
  client.on('error', () => {})
  await client.connect()
  return client
}
