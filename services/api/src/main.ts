import { createCatalogClient } from '@varve/catalog-client'
import { openPlatform } from '@varve/platform'
import { runService, waitFor } from '@varve/runtime'
import { loadApiConfig } from './config.ts'
import { defaultDashboardDir } from './dashboard-files.ts'
import { startApiService } from './start-api-service.ts'

/* The api as a process: node dist/main.js [--show-config]. It answers from the start, with 503 as long as the catalog is away. */
await runService('api', { readConfig: () => loadApiConfig(process.env), needs: ['catalog'] }, async service => {
  const { config, closer, log, readiness, metrics } = service
  const settings = { url: config.VARVE_CATALOG_URL, token: config.VARVE_CATALOG_TOKEN }
  const catalog = createCatalogClient(settings)
  closer.add('catalog', () => catalog.close())
  const probe = createCatalogClient({ ...settings, patienceMs: 0, timeoutMs: 5000, connections: 1 })
  closer.add('catalog probe', () => probe.close())
  readiness.set('catalog', () => probe.listPlatforms())
  const api = await startApiService({
    catalog,
    openPlatform: connection => openPlatform(connection, { log }),
    listen: { host: config.VARVE_API_HOST, port: config.VARVE_API_PORT },
    token: config.VARVE_API_TOKEN,
    dashboardDir: config.VARVE_DASHBOARD_DIR || defaultDashboardDir(),
    inventoryMaxAge: config.VARVE_INVENTORY_MAX_AGE,
    mostStreams: config.VARVE_API_MAX_STREAMS,
    log,
    metrics,
  })
  closer.add('api', () => api.close())
  waitFor('catalog', () => probe.listPlatforms(), { log }).catch(error => log.error({ err: error }, 'the catalog refuses us'))
})
