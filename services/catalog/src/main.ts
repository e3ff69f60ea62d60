import { openQueue } from '@varve/queue'
import { runService, waitFor } from '@varve/runtime'
import { loadCatalogConfig } from './config.ts'
import { startCatalogService } from './service.ts'

/** One attempt to open the queue, ms; waiting for it is not its own business. */
const QUEUE_TRY_MS = 2000

/** The owner of Postgres: the internal API, the relay of jobs to the queue, the reconciler. node dist/main.js [--show-config] */
await runService('catalog', { readConfig: () => loadCatalogConfig(process.env), needs: ['database', 'queue'] }, async service => {
  const { config, closer, log, readiness, metrics } = service
  const queue = await waitFor('queue', () => openQueue(config.VARVE_QUEUE_URL, { log, connectMs: QUEUE_TRY_MS }), { log })
  closer.add('queue', () => queue.close())
  readiness.set('queue', () => queue.counts('finish-run'))
  const catalog = await startCatalogService({
    databaseUrl: config.VARVE_DATABASE_URL,
    queue,
    listen: { host: config.VARVE_CATALOG_HOST, port: config.VARVE_CATALOG_PORT },
    token: config.VARVE_CATALOG_TOKEN,
    window: config.VARVE_RANGE_WINDOW,
    queueWindow: config.VARVE_QUEUE_WINDOW,
    rangeSilenceS: config.VARVE_RANGE_SILENCE,
    slowRangeS: config.VARVE_RANGE_SLOW,
    reconcileIntervalS: config.VARVE_RECONCILE_INTERVAL,
    silenceS: config.VARVE_RECONCILE_SILENCE,
    compactAfterHours: config.VARVE_COMPACT_AFTER_HOURS,
    connections: config.VARVE_DATABASE_CONNECTIONS,
    log,
    readiness,
    metrics,
  })
  closer.add('catalog', () => catalog.close())
})
