import { createCatalogClient } from '@varve/catalog-client'
import { openPlatform } from '@varve/platform'
import { createLogger, runProcess, showConfig } from '@varve/runtime'
import { loadApiConfig } from './config.ts'
import { defaultDashboardDir } from './dashboard-files.ts'
import { startApiService } from './start-api-service.ts'

/* The api as a process: node dist/main.js [--show-config] */
await runProcess(async closer => {
  const config = loadApiConfig(process.env)
  if (process.argv.includes('--show-config')) {
    console.log(showConfig(config))
    process.exit(0)
  }
  const log = createLogger('api', config.VARVE_LOG_LEVEL)
  const catalog = createCatalogClient({ url: config.VARVE_CATALOG_URL, token: config.VARVE_CATALOG_TOKEN })
  closer.add('catalog', () => catalog.close())
  const api = await startApiService({
    catalog,
    openPlatform: connection => openPlatform(connection, { log }),
    listen: { host: config.VARVE_API_HOST, port: config.VARVE_API_PORT },
    token: config.VARVE_API_TOKEN,
    dashboardDir: config.VARVE_DASHBOARD_DIR || defaultDashboardDir(),
    inventoryMaxAge: config.VARVE_INVENTORY_MAX_AGE,
    mostStreams: config.VARVE_API_MAX_STREAMS,
    log,
  })
  closer.add('api', () => api.close())
})
