import { createCatalogClient } from '@varve/catalog-client'
import { openPlatform } from '@varve/platform'
import { openQueue } from '@varve/queue'
import { openRepository, openStore } from '@varve/repository'
import { createLogger, runProcess, showConfig } from '@varve/runtime'
import { loadSnapshotConfig } from './config.ts'
import { startSnapshotService } from './start-snapshot.ts'

await runProcess(async closer => {
  const config = loadSnapshotConfig(process.env)
  if (process.argv.includes('--show-config')) {
    console.log(showConfig(config))
    return
  }
  const log = createLogger('snapshot', config.VARVE_LOG_LEVEL)
  const store = await openStore(config.VARVE_REPOSITORY_URL, {
    ...(config.VARVE_S3_ENDPOINT === '' ? {} : { endpoint: config.VARVE_S3_ENDPOINT }),
    region: config.VARVE_S3_REGION,
    accessKey: config.VARVE_S3_ACCESS_KEY,
    secretKey: config.VARVE_S3_SECRET_KEY,
  })
  closer.add('store', () => store.close())
  const repository = await openRepository(store, { create: true })
  const queue = await openQueue(config.VARVE_QUEUE_URL, { log })
  closer.add('queue', () => queue.close())
  const catalog = createCatalogClient({ url: config.VARVE_CATALOG_URL, token: config.VARVE_CATALOG_TOKEN })
  closer.add('catalog', () => catalog.close())

  const service = await startSnapshotService({
    catalog,
    queue,
    repository,
    openPlatform: connection => openPlatform(connection, { log }),
    log,
    concurrency: config.VARVE_CONCURRENCY,
    renewSeconds: config.VARVE_LEASE_RENEW_SECONDS,
    leaseSeconds: config.VARVE_LEASE_SECONDS,
    inventorySeconds: config.VARVE_INVENTORY_SECONDS,
  })
  closer.add('snapshot', () => service.close())
  log.info('ready')
})
