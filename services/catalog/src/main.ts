import { openQueue } from '@varve/queue'
import { createLogger, loadConfig, runProcess, showConfig } from '@varve/runtime'
import { Config } from './config.ts'
import { startCatalogService } from './service.ts'

/** The owner of Postgres: the internal API, the relay of jobs to the queue, the reconciler. */
await runProcess(async closer => {
  const config = loadConfig(Config, process.env)
  if (process.argv.includes('--show-config')) {
    console.log(showConfig(config))
    return
  }
  const log = createLogger('catalog', config.VARVE_LOG_LEVEL)
  const queue = await openQueue(config.VARVE_QUEUE_URL, { log })
  closer.add('queue', () => queue.close())
  const service = await startCatalogService({
    databaseUrl: config.VARVE_DATABASE_URL,
    queue,
    listen: { host: config.VARVE_CATALOG_HOST, port: config.VARVE_CATALOG_PORT },
    token: config.VARVE_CATALOG_TOKEN,
    window: config.VARVE_RANGE_WINDOW,
    reconcileIntervalS: config.VARVE_RECONCILE_INTERVAL,
    silenceS: config.VARVE_RECONCILE_SILENCE,
    connections: config.VARVE_DATABASE_CONNECTIONS,
    log,
  })
  closer.add('catalog', () => service.close())
})
