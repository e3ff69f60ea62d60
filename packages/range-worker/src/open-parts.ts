import { type Catalog, createCatalogClient } from '@varve/catalog-client'
import { errorReport, hasCode } from '@varve/errors'
import { openPlatform } from '@varve/platform'
import { openQueue, type QueueDoor } from '@varve/queue'
import { openRepository, openStore, type Repository, type StoreSettings } from '@varve/repository'
import { type Closer, type Logger, type Metrics, type ServiceParts, waitFor } from '@varve/runtime'
import type { OpenPlatform } from './platforms.ts'
import { type RepositoryConfig, storeSettingsOf, type WorkerConfig } from './settings.ts'

/** What a worker that is a process of its own needs, as /readyz names it. */
export const WORKER_NEEDS = ['catalog', 'queue', 'repository'] as const

/** The same without a queue. */
export const REPOSITORY_NEEDS = ['catalog', 'repository'] as const

/** What every process begins with that works with catalog and repository. */
export interface RepositoryParts {
  readonly catalog: Catalog
  readonly repository: Repository
  readonly openPlatform: OpenPlatform
  readonly log: Logger
  readonly metrics: Metrics
}

/** What every worker that is a process of its own begins with. */
export interface WorkerParts extends RepositoryParts {
  readonly queue: QueueDoor
  readonly graceMs: number
}

/** One attempt to open the queue, ms; waiting for it is not its own business. */
const QUEUE_TRY_MS = 2000
const CATALOG_TRY_MS = 5000

/**
 * Open catalog, queue and repository by their settings, waiting for each that does not answer yet; the closer closes them. `create`: make the
 * repository where there is none; else somebody else's making it is waited for.
 *
 * @throws what waiting does not help: QUEUE_REFUSED, UNAUTHORIZED, REPOSITORY_VERSION_UNKNOWN, REPOSITORY_INVALID, STORE_URL_INVALID, ...
 */
export async function openParts(service: ServiceParts<WorkerConfig>, options: { readonly create: boolean }): Promise<WorkerParts> {
  const [queue, parts] = await Promise.all([openQueueOf(service), openRepositoryParts(service, options)])
  return { ...parts, queue, graceMs: service.graceMs }
}

/** Open catalog and repository, as `openParts` does. */
export async function openRepositoryParts(
  service: ServiceParts<RepositoryConfig>,
  options: { readonly create: boolean },
): Promise<RepositoryParts> {
  const { log, metrics, config } = service
  const taskStallMs = config.VARVE_TASK_STALL_SECONDS * 1000
  const [catalog, repository] = await Promise.all([openCatalogOf(service), openRepositoryOf(service, options.create)])
  return { catalog, repository, openPlatform: (connection, more) => openPlatform(connection, { log, taskStallMs, ...more }), log, metrics }
}

async function openQueueOf({ config, closer, log, readiness }: ServiceParts<WorkerConfig>): Promise<QueueDoor> {
  const lockDurationMs = config.VARVE_QUEUE_LOCK_SECONDS * 1000
  const options = { log, connectMs: QUEUE_TRY_MS, lockDurationMs, stalledIntervalMs: lockDurationMs / 2 }
  const queue = await waitFor('queue', () => openQueue(config.VARVE_QUEUE_URL, options), { log })
  closer.add('queue', () => queue.close())
  readiness.set('queue', () => queue.counts('finish-run'))
  return queue
}

async function openCatalogOf({ config, closer, log, readiness }: ServiceParts<RepositoryConfig>): Promise<Catalog> {
  const settings = { url: config.VARVE_CATALOG_URL, token: config.VARVE_CATALOG_TOKEN }
  // Work is patient with a catalog that is away; a question whether it answers is not.
  const probe = createCatalogClient({ ...settings, patienceMs: 0, timeoutMs: CATALOG_TRY_MS, connections: 1 })
  closer.add('catalog probe', () => probe.close())
  const ask = (): Promise<unknown> => probe.listPlatforms()
  readiness.set('catalog', ask)
  await waitFor('catalog', ask, { log })
  const catalog = createCatalogClient(settings)
  closer.add('catalog', () => catalog.close())
  return catalog
}

async function openRepositoryOf({ config, closer, log, readiness }: ServiceParts<RepositoryConfig>, create: boolean): Promise<Repository> {
  const open = (): Promise<Repository> => openRepositoryAt(config.VARVE_REPOSITORY_URL, storeSettingsOf(config), closer, { create })
  const repository = await waitFor('repository', open, { log, isPassing: isRepositoryPassing })
  readiness.set('repository', () => openRepository(repository.store))
  return repository
}

/** A store that starts may not know its users yet; a repository that another service makes is there in a moment. */
function isRepositoryPassing(error: unknown): boolean {
  return errorReport(error).retryable || hasCode(error, 'STORE_DENIED', 'REPOSITORY_NOT_FOUND')
}

/** Open the repository, made if it is not there unless told otherwise; the closer closes its store. @throws RepositoryError */
export async function openRepositoryAt(
  url: string,
  settings: StoreSettings,
  closer: Closer,
  { create = true }: { readonly create?: boolean } = {},
): Promise<Repository> {
  const store = await openStore(url, settings)
  try {
    const repository = await openRepository(store, { create })
    closer.add('store', () => store.close())
    return repository
  } catch (error) {
    await store.close()
    throw error
  }
}
