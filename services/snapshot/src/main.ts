import { openParts, openRepositoryAt, storeSettingsOf } from '@varve/range-worker'
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
  const repository = await openRepositoryAt(config.VARVE_REPOSITORY_URL, storeSettingsOf(config), closer)
  const service = await startSnapshotService({
    ...(await openParts(config, log, closer)),
    repository,
    concurrency: config.VARVE_CONCURRENCY,
    renewSeconds: config.VARVE_LEASE_RENEW_SECONDS,
    leaseSeconds: config.VARVE_LEASE_SECONDS,
    inventorySeconds: config.VARVE_INVENTORY_SECONDS,
  })
  closer.add('snapshot', () => service.close())
  log.info('ready')
})
