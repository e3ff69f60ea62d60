import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Closer } from '@varve/runtime'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Processes, startProcesses } from '../support/processes.ts'
import { ROOT } from '../support/system.ts'

/** Services of this version on a database or a repository that a newer one has used. */

const closer = new Closer()
let folder: string
let varve: Processes

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-newer-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))
  varve = await startProcesses({ folder, closer, writers: 0 })
}, 120_000)
afterAll(() => closer.close(), 60_000)

/** Start a service as it was started here, and wait for its end. */
async function lastWords(service: string): Promise<{ code: number; text: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'services', service, 'dist', 'main.js')], {
    env: { ...process.env, ...varve.environment, VARVE_CATALOG_PORT: service === 'catalog' ? '0' : varve.environment.VARVE_CATALOG_PORT },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', bytes => (text += String(bytes)))
  const [code] = (await once(child, 'close')) as [number]
  return { code, text }
}

test.each(['snapshot', 'block-reader', 'block-writer', 'maintenance'])(
  '%s refuses a repository of a newer format with one line',
  async service => {
    const file = join(folder, 'repository', 'varve.json')
    const before = await readFile(file, 'utf8')
    const { sha256: _, ...format } = JSON.parse(before) as Record<string, unknown>
    const newer: Record<string, unknown> = { ...format, version: 2 }
    const canonical = JSON.stringify(Object.fromEntries(Object.entries(newer).sort(([a], [b]) => (a < b ? -1 : 1))))
    await writeFile(file, JSON.stringify({ ...newer, sha256: createHash('sha256').update(canonical).digest('hex') }))
    try {
      const { code, text } = await lastWords(service)
      expect(text).toBe('REPOSITORY_VERSION_UNKNOWN: the repository has format version 2; this program knows 1\n')
      expect(code).toBe(1)
    } finally {
      await writeFile(file, before)
    }
  },
)

test('the catalog refuses a schema that a newer one has migrated, with one line', async () => {
  const client = new pg.Client({ connectionString: varve.environment.VARVE_DATABASE_URL })
  await client.connect()
  try {
    await client.query(`insert into varve.migrations (name, run_on) values ('0099_from_the_future', now())`)
    const { code, text } = await lastWords('catalog')
    expect(text).toMatch(/^CATALOG_SCHEMA_NEWER: the database was used by a newer version of Varve \(it has 0099_from_the_future.*\n$/)
    expect(code).toBe(1)
  } finally {
    await client.query(`delete from varve.migrations where name = '0099_from_the_future'`)
    await client.end()
  }
})
