import { type Catalog, createCatalogClient } from '@varve/catalog-client'
import { openPlatform } from '@varve/platform'
import { openQueue, type QueueDoor } from '@varve/queue'
import { openRepository, openStore, type Repository, type StoreSettings } from '@varve/repository'
import type { Closer, Logger } from '@varve/runtime'
import type { OpenPlatform } from './platforms.ts'
import type { WorkerConfig } from './settings.ts'

/** What every worker that is a process of its own begins with. */
export interface WorkerParts {
  readonly catalog: Catalog
  readonly queue: QueueDoor
  readonly openPlatform: OpenPlatform
  readonly log: Logger
}

/** Open catalog and queue by their settings; the closer closes them. @throws QueueError */
export async function openParts(config: WorkerConfig, log: Logger, closer: Closer): Promise<WorkerParts> {
  const queue = await openQueue(config.VARVE_QUEUE_URL, { log })
  closer.add('queue', () => queue.close())
  const catalog = createCatalogClient({ url: config.VARVE_CATALOG_URL, token: config.VARVE_CATALOG_TOKEN })
  closer.add('catalog', () => catalog.close())
  return { catalog, queue, openPlatform: connection => openPlatform(connection, { log }), log }
}

/** Open the repository, made if it is not there; the closer closes its store. @throws RepositoryError */
export async function openRepositoryAt(url: string, settings: StoreSettings, closer: Closer): Promise<Repository> {
  const store = await openStore(url, settings)
  closer.add('store', () => store.close())
  return openRepository(store, { create: true })
}
