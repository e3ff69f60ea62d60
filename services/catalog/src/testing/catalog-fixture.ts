import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Catalog, createCatalogClient, type NewImage, type NewRange, type RangeResult, type Run } from '@varve/catalog-client'
import { startPostgres } from '@varve/postgres'
import type { AddOptions, JobName, QueueDoor } from '@varve/queue'
import { Closer, createLogger, type Logger } from '@varve/runtime'
import pg from 'pg'
import { type CatalogServiceOptions, startCatalogService } from '../service.ts'

export const TOKEN = 'test-token-of-the-catalog'
export const log: Logger = createLogger('catalog-test', 'fatal')
export const MiB = 1024 * 1024

/** A queue that remembers what was added and can be made to fail. */
export class RecordingQueue implements Pick<QueueDoor, 'add'> {
  readonly added: { name: JobName; payload: { runId: string; rangeId?: string }; id: string; priority: AddOptions['priority'] }[] = []
  fault: Error | null = null
  attempts = 0

  async add(name: JobName, payload: { runId: string; rangeId?: string }, options: AddOptions): Promise<void> {
    this.attempts += 1
    await Promise.resolve()
    if (this.fault !== null) throw this.fault
    this.added.push({ name, payload, id: options.id, priority: options.priority })
  }

  ids(name?: JobName): string[] {
    return this.added.filter(job => name === undefined || job.name === name).map(job => job.id)
  }
}

export interface TestDatabases {
  /** A new, empty database on the same server. */
  create(): Promise<string>
  close(): Promise<void>
}

export async function startTestPostgres(): Promise<TestDatabases> {
  const dataDir = await mkdtemp(join(tmpdir(), 'varve-catalog-test-'))
  const postgres = await startPostgres({ dataDir })
  return {
    async create() {
      const name = `t${randomUUID().replaceAll('-', '')}`
      const client = new pg.Client({ connectionString: postgres.adminUrl })
      await client.connect()
      await client.query(`create database ${name}`)
      await client.end()
      return postgres.url.replace('/varve?', `/${name}?`)
    },
    async close() {
      await postgres.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

export interface TestCatalog {
  readonly catalog: Catalog
  readonly queue: RecordingQueue
  readonly url: string
  readonly databaseUrl: string
  /** Statements past the service, to look inside or to age rows. */
  readonly sql: pg.Pool
  close(): Promise<void>
}

export async function startTestCatalog(databaseUrl: string, options: Partial<CatalogServiceOptions> = {}): Promise<TestCatalog> {
  const closer = new Closer()
  const queue = new RecordingQueue()
  const service = await startCatalogService({ databaseUrl, queue, listen: { host: '127.0.0.1', port: 0 }, token: TOKEN, log, ...options })
  closer.add('service', () => service.close())
  const sql = new pg.Pool({ connectionString: databaseUrl, max: 2 })
  // Tests stop the server with connections of this pool still closing.
  sql.on('error', () => {})
  closer.add('pool', () => sql.end())
  const catalog = createCatalogClient({ url: service.url, token: TOKEN })
  closer.add('client', () => catalog.close())
  return { catalog, queue, url: service.url, databaseUrl, sql, close: () => closer.close() }
}

export const PLATFORM = { name: 'lab', kind: 'scp', url: 'https://lab.example', credentials: { username: 'u', password: 'p' } } as const

/** A platform with one VM of two disks. */
export async function addVm(catalog: Catalog, name: string = randomUUID()): Promise<string> {
  const platform = await catalog.addPlatform({ ...PLATFORM, name })
  await catalog.reportVms(platform.id, [
    {
      platformVmId: name,
      name,
      power: 'on',
      exclusions: [],
      disks: [
        { diskId: 'd0', size: 1024 * MiB },
        { diskId: 'd1', size: 512 * MiB, excluded: 'shared' },
      ],
    },
  ])
  const vm = (await catalog.listVms()).find(v => v.platformId === platform.id)
  return vm!.id
}

export function fullImage(diskId = 'd0'): NewImage {
  return {
    diskId,
    diskSize: 1024 * MiB,
    blockSize: 256 * 1024,
    kind: 'full',
    reason: 'first',
    parentImageId: null,
    cbt: true,
    sourceImageId: null,
  }
}

export function rangeOf(imageId: string, index: number): NewRange {
  return { imageId, index, firstPage: index, pageCount: 1, extents: [{ offset: index * 256 * MiB, length: MiB }], bytes: MiB }
}

/** What an attempt reports: a pack and a map of its own. */
export function result(attemptId: string, over: Partial<RangeResult> = {}): RangeResult {
  const prefix = attemptId.slice(0, 2)
  return {
    read: MiB,
    written: 1000,
    unchanged: 0,
    zero: 0,
    pages: Buffer.from('page').toString('base64'),
    objects: [
      { key: `packs/${prefix}/${attemptId}00000000`, size: 900, kind: 'pack' },
      { key: `maps/${prefix}/${attemptId}00000001`, size: 100, kind: 'map' },
    ],
    damage: [],
    time: { source: 1, throttle: 0, cpu: 1, store: 1 },
    ...over,
  }
}

let takes = 0
/** Begin a try at a range that is to be worked on. @returns its attempt */
export async function take(catalog: Catalog, rangeId: string): Promise<string> {
  const { attemptId } = await catalog.takeRange(rangeId, `test ${takes++}`)
  if (attemptId === null) throw new Error(`range ${rangeId} is not to be worked on`)
  return attemptId
}

/** Take a range and report it. */
export async function complete(catalog: Catalog, rangeId: string, over: Partial<RangeResult> = {}): Promise<{ accepted: boolean }> {
  const attemptId = await take(catalog, rangeId)
  return catalog.completeRange(rangeId, attemptId, result(attemptId, over))
}

/** An attempt that nobody has. */
export const unknownAttempt = (): string => randomBytes(12).toString('hex')

/** A backup with `ranges` ranges on one disk, brought to `copying`. */
export async function copyingBackup(
  { catalog, sql }: Pick<TestCatalog, 'catalog' | 'sql'>,
  vmId: string,
  ranges: number,
): Promise<{ run: Run; imageId: string }> {
  const run = await catalog.createBackup(vmId, {})
  await until(async () => (await sql.query(`select 1 from varve.runs where id = $1 and released_at is not null`, [run.id])).rowCount === 1)
  await catalog.startRun(run.id)
  await catalog.recordSnapshot(run.id, { checkpointId: '4294967297', config: { name: 'vm' } })
  const [image] = await catalog.addImages(run.id, [fullImage()])
  await catalog.addRanges(
    run.id,
    Array.from({ length: ranges }, (_, i) => rangeOf(image!.id, i)),
  )
  await catalog.planned(run.id)
  // Given out by the dispatcher, a moment later.
  await until(
    async () =>
      ranges === 0 ||
      (await sql.query(`select 1 from varve.ranges where run_id = $1 and state = 'queued' limit 1`, [run.id])).rowCount === 1,
  )
  return { run: await catalog.getRun(run.id), imageId: image!.id }
}

export async function rangeIds(test: TestCatalog, runId: string, state?: string): Promise<string[]> {
  const { rows } = await test.sql.query<{ id: string }>(
    `select id from varve.ranges where run_id = $1 and ($2::text is null or state = $2) order by index`,
    [runId, state ?? null],
  )
  return rows.map(r => r.id)
}

/** A backup from beginning to end. */
export async function sealedBackup(
  test: TestCatalog,
  vmId: string,
  ranges = 2,
): Promise<{ runId: string; imageId: string; pointId: string }> {
  const { catalog } = test
  const { run, imageId } = await copyingBackup(test, vmId, ranges)
  for (let left = ranges; left > 0; left--) {
    await until(async () => (await rangeIds(test, run.id, 'queued')).length > 0)
    const [next] = await rangeIds(test, run.id, 'queued')
    await complete(catalog, next!)
  }
  const pointId = randomUUID()
  const parent = await catalog.parentPoint(vmId)
  await catalog.seal(run.id, {
    restorePointId: pointId,
    createdAt: new Date().toISOString(),
    manifestKey: `points/${pointId}.json`,
    parentId: parent?.restorePointId ?? null,
    images: [{ imageId, rootKey: `images/${imageId}.root`, merkleRoot: 'ab', cbt: true }],
  })
  await catalog.closeRun(run.id)
  return { runId: run.id, imageId, pointId }
}

/** Wait until something becomes true; the test's own time limit ends it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 20))
}
