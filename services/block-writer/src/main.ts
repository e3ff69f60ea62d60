import { createCatalogClient } from '@varve/catalog-client'
import { openPlatform } from '@varve/platform'
import { openQueue } from '@varve/queue'
import { createLogger, runProcess, showConfig } from '@varve/runtime'
import { loadBlockWriterConfig } from './config.ts'
import { startBlockWriterService } from './start-block-writer.ts'

await runProcess(async closer => {
  const config = loadBlockWriterConfig(process.env)
  if (process.argv.includes('--show-config')) {
    console.log(showConfig(config))
    return
  }
  const log = createLogger('block-writer', config.VARVE_LOG_LEVEL)
  const queue = await openQueue(config.VARVE_QUEUE_URL, { log })
  closer.add('queue', () => queue.close())
  const catalog = createCatalogClient({ url: config.VARVE_CATALOG_URL, token: config.VARVE_CATALOG_TOKEN })
  closer.add('catalog', () => catalog.close())

  const service = await startBlockWriterService({
    catalog,
    queue,
    openPlatform: connection => openPlatform(connection, { log }),
    repositoryUrl: config.VARVE_REPOSITORY_URL,
    storeSettings: {
      ...(config.VARVE_S3_ENDPOINT === '' ? {} : { endpoint: config.VARVE_S3_ENDPOINT }),
      region: config.VARVE_S3_REGION,
      accessKey: config.VARVE_S3_ACCESS_KEY,
      secretKey: config.VARVE_S3_SECRET_KEY,
    },
    log,
    ...(config.VARVE_LANES === 0 ? {} : { lanes: config.VARVE_LANES }),
  })
  closer.add('block-writer', () => service.close())
  log.info('ready')
})
