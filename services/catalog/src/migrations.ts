import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { CatalogError } from '@varve/catalog-client'
import { type Logger, waitFor } from '@varve/runtime'
import { runner } from 'node-pg-migrate'
import pg from 'pg'

/** The same place seen from src/ and from dist/. */
const FOLDER = fileURLToPath(new URL('../migrations', import.meta.url))
const TABLE = 'migrations'
const SCHEMA = 'varve'

/**
 * Bring the schema `varve` up to date: numbered plain SQL, one transaction each, one instance at a time (the others wait for its advisory lock).
 *
 * @throws CatalogError CATALOG_SCHEMA_NEWER when the database has migrations that this version does not know.
 */
export async function migrate(databaseUrl: string, log: Logger): Promise<readonly string[]> {
  const client = await connect(databaseUrl)
  try {
    await refuseNewer(client)
    const applied = await runner({
      dbClient: client,
      dir: FOLDER,
      direction: 'up',
      migrationsTable: TABLE,
      migrationsSchema: SCHEMA,
      schema: 'public',
      createMigrationsSchema: true,
      advisoryLockMode: 'wait',
      checkOrder: true,
      logger: { info: () => {}, debug: () => {}, warn: text => log.warn(text), error: text => log.error(text) },
    })
    // Another instance may have been a newer one.
    await refuseNewer(client)
    const names = applied.map(m => m.name)
    if (names.length > 0) log.info({ migrations: names }, 'database schema brought up to date')
    return names
  } finally {
    await client.end()
  }
}

async function refuseNewer(client: pg.Client): Promise<void> {
  const known = new Set((await readdir(FOLDER)).filter(f => f.endsWith('.sql')).map(f => f.slice(0, -'.sql'.length)))
  const table = await client.query<{ there: boolean }>(`select to_regclass($1) is not null as there`, [`${SCHEMA}.${TABLE}`])
  if (table.rows[0]?.there !== true) return
  const { rows } = await client.query<{ name: string }>(`select name from ${SCHEMA}.${TABLE} order by id`)
  const unknown = rows.map(r => r.name).filter(name => !known.has(name))
  if (unknown.length > 0) {
    throw new CatalogError(
      'CATALOG_SCHEMA_NEWER',
      `the database was used by a newer version of Varve (it has ${unknown.join(', ')}, which this version does not know); run that version`,
      { unknown },
    )
  }
}

async function connect(databaseUrl: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'varve-catalog-migrate',
    connectionTimeoutMillis: 10_000,
  })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Wrong password, no such database or role: waiting does not help. */
const HOPELESS = /^(28|3D|42501)/

/** Until the database takes connections. @throws CatalogError CATALOG_UNREACHABLE when it refuses us, which waiting does not help */
export async function waitForDatabase(databaseUrl: string, log: Logger, signal?: AbortSignal): Promise<void> {
  const isPassing = (error: unknown): boolean => !HOPELESS.test(codeOf(error))
  try {
    await waitFor('database', async () => (await connect(databaseUrl)).end(), {
      log,
      isPassing,
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    if (isPassing(error)) throw error
    const what = `the database refuses us: ${(error as Error).message}`
    throw new CatalogError('CATALOG_UNREACHABLE', what, { code: codeOf(error) }, { cause: error })
  }
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' ? code : ''
}
