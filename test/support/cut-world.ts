import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { startBlockReaderService } from '@varve/block-reader'
import { startBlockWriterService } from '@varve/block-writer'
import { startCatalogService } from '@varve/catalog'
import { type Catalog, createCatalogClient } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import { startPostgres } from '@varve/postgres'
import type { JobHandler, JobName, QueueDoor } from '@varve/queue'
import { type At, CutAt, watchEffects } from '@varve/range-worker/testing'
import { openRepository, openStore, type Repository, type Store } from '@varve/repository'
import { Closer, createLogger, sleep } from '@varve/runtime'
import { startSnapshotService } from '@varve/snapshot'
import pg from 'pg'
import { type LocalHci, startLocalHci } from './hci.ts'

/**
 * Every job handler as its service builds it, on the real catalog (Postgres), the reference platform and a repository in a folder. The queue is the test: it
 * delivers a job to a process that is cut off at some step, then again, to two processes at once.
 */
export interface CutWorld {
  readonly catalog: Catalog
  readonly sql: pg.Pool
  readonly local: LocalHci
  readonly driver: PlatformDriver
  readonly repository: Repository
  readonly store: Store
  readonly platformId: string
  /**
   * Deliver a job to a process that is cut off at step `n`, and then until it is done, as the queue does.
   *
   * @returns where it was cut; null when it came to its end before
   */
  deliver(name: JobName, payload: { readonly runId: string; readonly rangeId?: string }, n: number): Promise<string | null>
  close(): Promise<void>
}

const TOKEN = 'token of the cut world'
const signal = new AbortController().signal
/** A job is delivered this often before the test gives up on it. */
const DELIVERIES = 20
/** What a service does beside its jobs. */
const BESIDE = new Set(['catalog.activeLeases', 'platform.renewLease', 'platform.close'])
const HANDLED_BY = {
  'prepare-backup': startSnapshotService,
  'prepare-restore': startSnapshotService,
  'seal-restore-point': startSnapshotService,
  'finish-run': startSnapshotService,
  'prepare-preview': startSnapshotService,
  'read-range': startBlockReaderService,
  'write-range': startBlockWriterService,
} as const

export async function startCutWorld(): Promise<CutWorld> {
  const closer = new Closer()
  const log = createLogger('cut-world', (process.env.VARVE_TEST_LOG as 'info' | undefined) ?? 'silent')
  try {
    const folder = await mkdtemp(join(tmpdir(), 'varve-cut-'))
    closer.add('folder', () => rm(folder, { recursive: true, force: true }))
    const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
    closer.add('postgres', () => postgres.close())
    const nowhere = { add: async () => {} }
    const listen = { host: '127.0.0.1', port: 0 }
    const service = await startCatalogService({
      databaseUrl: postgres.url,
      queue: nowhere,
      listen,
      token: TOKEN,
      reconcileIntervalS: 3600,
      log,
    })
    closer.add('catalog', () => service.close())
    const catalog = createCatalogClient({ url: service.url, token: TOKEN })
    closer.add('client', () => catalog.close())
    const sql = new pg.Pool({ connectionString: postgres.url, max: 1 })
    sql.on('error', () => {})
    closer.add('sql', () => sql.end())
    const local = await startLocalHci()
    closer.add('platform', () => local.close())
    const credentials = local.account
    const platform = await catalog.addPlatform({ name: 'lab', kind: 'scp', url: local.hci.url, credentials })
    const driver = await openPlatform({ id: platform.id, kind: 'scp', url: local.hci.url, credentials })
    closer.add('driver', () => driver.close())
    const repositoryUrl = pathToFileURL(join(folder, 'repository')).href
    const store = await openStore(repositoryUrl)
    closer.add('store', () => store.close())
    const repository = await openRepository(store, { create: true, blockSize: 64 * 1024 })

    /** Leases that the platform gave to a process; those that nobody could note are lost, and run out. */
    const given = new Set<string>()
    const expireUnknownLeases = async (): Promise<void> => {
      const known = new Set((await catalog.activeLeases()).map(lease => lease.leaseId))
      for (const leaseId of [...given].filter(id => !known.has(id))) {
        await driver.releaseLease(leaseId)
        given.delete(leaseId)
      }
    }

    /** One job in a process of its own. */
    const inProcess = async (name: JobName, payload: object, at: At): Promise<void> => {
      let handler: JobHandler<JobName> | undefined
      const queue = {
        async work(of: JobName, its: JobHandler<JobName>) {
          if (of === name) handler = its
          return { close: async () => {} }
        },
      } as unknown as QueueDoor
      let armed = false
      const hook: At = step => (armed && !BESIDE.has(step.split(' ')[1]!) ? at(step) : undefined)
      const service = await HANDLED_BY[name]({
        catalog: watchEffects(catalog, 'catalog', hook),
        queue,
        repository: await openRepository(watchEffects(store, 'store', hook, { sequences: ['list'] })),
        repositoryUrl,
        lanes: 1,
        log,
        inventorySeconds: 0,
        renewSeconds: 3600,
        openPlatform: async connection => {
          const real = await openPlatform(connection)
          const lease = async (...args: Parameters<PlatformDriver['createLease']>) => {
            const made = await real.createLease(...args)
            given.add(made.id)
            return made
          }
          const noting = new Proxy(real, {
            get: (target, key) => (key === 'createLease' ? lease : bound(target, Reflect.get(target, key, target))),
          })
          return watchEffects(noting, 'platform', hook, { sequences: ['listVms', 'changedAreas'], pure: ['configuredDisks'] })
        },
      })
      try {
        armed = true
        await handler!({ payload, lastAttempt: false } as never, signal)
      } finally {
        armed = false
        await service.close()
      }
    }

    const deliver: CutWorld['deliver'] = async (name, payload, n) => {
      const cut = new CutAt(n)
      await cut.run(() => inProcess(name, payload, cut.at)).catch(ignorePassing)
      if (cut.where === null) return null
      await expireUnknownLeases()
      for (let delivery = 1; ; delivery++) {
        // Twice at the same time: two of them were told to.
        const ends = await Promise.allSettled([1, 2].map(() => inProcess(name, payload, () => {})))
        const failed = ends.find(end => end.status === 'rejected')
        if (failed === undefined) return cut.where
        if (delivery === DELIVERIES) throw new Error(`${name} cut ${cut.where} is never done`, { cause: failed.reason })
        ignorePassing(failed.reason)
        await expireUnknownLeases()
        await sleep(50, signal)
      }
    }
    return { catalog, sql, local, driver, repository, store, platformId: platform.id, deliver, close: () => closer.close() }
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}

function bound(target: object, value: unknown): unknown {
  return typeof value === 'function' ? value.bind(target) : value
}

/** What a queue delivers again; anything else is a finding. */
function ignorePassing(error: unknown): void {
  if (!hasCode(error, 'VM_BUSY', 'LEASE_OCCUPIED', 'PLAN_CHANGED', 'SNAPSHOT_NOT_FOUND')) throw error
}

export interface CutVm {
  readonly vmId: string
  readonly platformVmId: string
  write(offset: number, bytes: Uint8Array): Promise<void>
  read(): Promise<Buffer>
}

/** A VM with one disk, powered off, CBT off, known to the catalog. */
export async function addCutVm(world: CutWorld, size: number): Promise<CutVm> {
  const { local, catalog, driver, platformId } = world
  const platformVmId = await local.createVm(`vm-${randomUUID().slice(0, 8)}`, [{ id: 'virtio0', size }])
  const seen = []
  for await (const vm of driver.listVms()) {
    const disks = vm.disks.map(({ id: diskId, size: bytes }) => ({ diskId, size: bytes }))
    seen.push({ platformVmId: vm.id, name: vm.name, power: vm.power, exclusions: vm.exclusions, disks })
  }
  await catalog.reportVms(platformId, seen)
  const vm = (await catalog.listVms()).find(candidate => candidate.platformVmId === platformVmId)!
  return { vmId: vm.id, platformVmId, ...diskOf(local, platformVmId, size) }
}

/** The live disk, past every API. */
export function diskOf(local: LocalHci, platformVmId: string, size: number): Pick<CutVm, 'write' | 'read'> {
  const use = async <T>(work: (disk: Awaited<ReturnType<LocalHci['hci']['datastore']['openDisk']>>) => Promise<T>): Promise<T> => {
    const disk = await local.hci.datastore.openDisk(platformVmId, 'virtio0')
    try {
      return await work(disk)
    } finally {
      await disk.close()
    }
  }
  return {
    write: (offset, bytes) =>
      use(async disk => {
        await disk.write(offset, bytes, false)
        await disk.flush()
      }),
    read: () =>
      use(async disk => {
        const bytes = Buffer.alloc(size)
        await disk.read(0, bytes)
        return bytes
      }),
  }
}
