import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeRoot, encodeRoot, PageRefs, type Root } from '@varve/block-map'
import type { Check, Finding, Run } from '@varve/catalog-client'
import { startPostgres } from '@varve/postgres'
import { mapKey, openRepository, openStore, packKey, type Repository } from '@varve/repository'
import { Closer, MiB } from '@varve/runtime'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'
import { runTool } from '../support/tools.ts'

/** Each kind of damage, done by hand to a repository and a catalog with two points: found under its code, and nothing else. */

const closer = new Closer()
let folder: string
let system: System
let repository: Repository
let sql: pg.Pool
let runs: Run[]
/** Puts back what a test has damaged. */
let mend: () => Promise<unknown> = async () => {}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-checks-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
  closer.add('postgres', () => postgres.close())
  const repositoryUrl = `file://${join(folder, 'repository')}`
  const maintenance = { everySeconds: 0, askMs: 50, silenceSeconds: 60, unfinishedSeconds: 1 }
  system = await startSystem({ standalone: { databaseUrl: postgres.url, repositoryUrl, maintenance } })
  closer.add('system', () => system.close())
  const store = await openStore(repositoryUrl)
  repository = await openRepository(store)
  sql = new pg.Pool({ connectionString: postgres.url, max: 1 })
  sql.on('error', () => {})
  closer.add('sql', () => sql.end())
  const { vmId, platformVmId } = await system.createVm('app-1', [{ id: 'virtio0', size: 600 * MiB }])
  const disk = await system.guest(platformVmId, 'virtio0')
  runs = []
  for (const at of [0, 300]) {
    await disk.write(at * MiB, noise(`at ${at}`, 2 * MiB))
    runs.push(await system.backup(vmId))
  }
  await disk.close()
  for (const run of runs) expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
}, 120_000)

afterAll(() => closer.close())
afterEach(async () => {
  await mend()
  mend = async () => {}
})

async function check(sweep = false): Promise<{ codes: string[]; findings: readonly Finding[] }> {
  const { id } = await system.api<Check>('POST', '/v1/checks', { scope: 'all', sweep })
  for (;;) {
    const now = await system.api<Check & { findings: readonly Finding[] }>('GET', `/v1/checks/${id}`)
    if (now.state === 'failed') throw new Error(`${now.reason}: ${now.message}`)
    if (now.state === 'done') return { codes: now.findings.map(({ code }) => code).sort(), findings: now.findings }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** The manifest and the first root of the point of the first or second run. */
async function point(n: 0 | 1) {
  const key = (await repository.listManifests())[n]!
  const manifest = await repository.getManifest(key)
  const rootKey = manifest.images[0]!.rootKey
  return { key, manifest, rootKey, root: decodeRoot(await repository.store.get(rootKey)) }
}

/** Replace an object; undefined: delete it. */
async function damage(key: string, change: (bytes: Buffer) => Uint8Array | undefined): Promise<void> {
  const before = await repository.store.get(key)
  const after = change(Buffer.from(before))
  if (after === undefined) await repository.store.delete([key])
  else await repository.store.put(key, after)
  mend = () => repository.store.put(key, before)
}

const flip =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    bytes[at]! ^= 0x10
    return bytes
  }

async function packOf(n: 0 | 1): Promise<string> {
  const { rows } = await sql.query<{ key: string }>(`select key from varve.objects where run_id = $1 and kind = 'pack'`, [runs[n]!.id])
  return rows[0]!.key
}

test('a full and an incremental that nobody touched: nothing to find, and varve check says 0', async () => {
  expect(runs.map(run => run.images[0]!.kind)).toEqual(['full', 'incremental'])
  expect((await check()).findings).toEqual([])
  const varve = join(import.meta.dirname, '../../packages/cli/bin/varve.mjs')
  const settings = [`VARVE_API_URL=${system.varve.apiUrl}`, `VARVE_API_TOKEN=${system.varve.token}`]
  expect(await runTool('env', [...settings, process.execPath, varve, 'check'])).toMatch(
    /^Nothing found\. Looked at 1 VMs, .* 2 points, 2 pages/,
  )
})

test('a pack that is gone, once, with a point that needs it', async () => {
  const key = await packOf(0)
  await damage(key, () => undefined)
  const { findings } = await check()
  expect(findings).toMatchObject([{ code: 'pack-missing', kind: 'broken', invariant: 1, subject: key }])
  expect(findings[0]?.message).toMatch(/page 0 of disk virtio0 of point .* of VM app-1/)
})

test('a pack that is cut', async () => {
  await damage(await packOf(1), bytes => bytes.subarray(0, bytes.length >> 1))
  expect((await check()).codes).toEqual(['pack-too-short'])
})

test('a map that is gone', async () => {
  const { root } = await point(1)
  await damage(mapKey(root.pages.at(1)!.mapId), () => undefined)
  const [finding] = (await check()).findings
  expect(finding).toMatchObject({
    code: 'map-missing',
    subject: mapKey(root.pages.at(1)!.mapId),
    message: expect.stringMatching(/^page 1 of/),
  })
})

test('a map with one wrong bit, and one that is cut', async () => {
  const { root } = await point(0)
  const ref = root.pages.at(0)!
  await damage(mapKey(ref.mapId), flip(ref.offset + 100))
  expect((await check()).codes).toEqual(['map-damaged'])
  await mend()
  await damage(mapKey(ref.mapId), bytes => bytes.subarray(0, bytes.length - 1))
  expect((await check()).codes).toEqual(['map-damaged'])
})

test('a root that is gone, that has one wrong bit, that is another', async () => {
  const { rootKey, root } = await point(0)
  await damage(rootKey, () => undefined)
  expect((await check()).findings).toMatchObject([{ code: 'root-missing', invariant: 2, subject: rootKey }])
  await mend()
  await damage(rootKey, flip(200))
  expect((await check()).codes).toEqual(['root-damaged'])
  await mend()
  const other: Root = { ...root, pages: PageRefs.none }
  await damage(rootKey, () => encodeRoot(other))
  expect((await check()).findings).toMatchObject([{ code: 'root-differs', message: expect.stringMatching(/: merkleRoot$/) }])
})

test('a manifest that is gone, that has one wrong bit, that says something else', async () => {
  const { key, manifest } = await point(1)
  await damage(key, () => undefined)
  expect((await check()).findings).toMatchObject([{ code: 'manifest-missing', invariant: 3, subject: key }])
  await mend()
  await damage(key, flip(300))
  expect((await check()).codes).toEqual(['manifest-damaged'])
  await mend()
  const before = await repository.store.get(key)
  await repository.putManifest({ ...manifest, parentId: null, images: [{ ...manifest.images[0]!, cbt: false }] })
  mend = () => repository.store.put(key, before)
  expect((await check()).findings).toMatchObject([
    { code: 'manifest-differs', invariant: 8, message: expect.stringMatching(/: parentId, virtio0\.cbt$/) },
  ])
})

test('an incremental of another checkpoint than its parent, a full without a reason', async () => {
  const alter = async (column: 'since' | 'reason', value: string | null, n: 0 | 1): Promise<string[]> => {
    const imageId = runs[n]!.images[0]!.id
    const { rows } = await sql.query<{ before: string }>(`select ${column} as before from varve.images where id = $1`, [imageId])
    // The states let nobody write this.
    const set = async (text: string | null): Promise<void> => {
      await sql.query('alter table varve.images disable trigger user')
      await sql.query(`update varve.images set ${column} = $2 where id = $1`, [imageId, text])
      await sql.query('alter table varve.images enable trigger user')
    }
    await set(value)
    mend = () => set(rows[0]!.before)
    const { codes } = await check()
    await mend()
    return codes
  }
  expect(await alter('since', '1', 1)).toEqual(['since-not-of-parent'])
  expect(await alter('reason', null, 0)).toEqual(['full-without-reason', 'manifest-differs'])
})

test('a temporary file that nobody finishes is found once it is old', async () => {
  const temp = join(new URL(repository.store.url).pathname, '.tmp')
  await writeFile(join(temp, 'half'), 'x')
  await utimes(join(temp, 'half'), 1, 1)
  expect((await check()).findings).toMatchObject([{ code: 'temporary-file', subject: '.tmp/half', swept: false }])
  await system.api('POST', '/v1/checks', { scope: 'leaks', sweep: true })
  while ((await readdir(temp)).length > 0) await new Promise(resolve => setTimeout(resolve, 50))
})

test('a young object of an unknown owner may be of a run of another catalog: it goes only once it is old', async () => {
  const key = packKey(randomUUID().replaceAll('-', ''))
  await repository.store.put(key, Buffer.alloc(100))
  mend = () => repository.store.delete([key])
  for (let look = 0; look < 2; look++) await check(true)
  const young = (await check(true)).findings
  expect(young).toMatchObject([{ code: 'object-of-unknown-owner', swept: false, message: expect.stringMatching(/left alone for 30\.0$/) }])
  const old = new Date(Date.now() - 31 * 86_400_000)
  await utimes(join(folder, 'repository', key), old, old)
  expect((await check(true)).findings).toMatchObject([{ code: 'object-of-unknown-owner', swept: true }])
  expect((await check()).findings).toEqual([])
})
