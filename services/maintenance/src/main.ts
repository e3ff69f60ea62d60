import { openRepositoryParts, REPOSITORY_NEEDS } from '@varve/range-worker'
import { runService } from '@varve/runtime'
import { loadMaintenanceConfig } from './config.ts'
import { startMaintenance } from './start-maintenance.ts'

/** The maintenance service as a process: node dist/main.js [--show-config] */
await runService('maintenance', { readConfig: () => loadMaintenanceConfig(process.env), needs: REPOSITORY_NEEDS }, async service => {
  const { config, closer } = service
  const maintenance = await startMaintenance({
    ...(await openRepositoryParts(service, { create: false })),
    everySeconds: config.VARVE_LEAKS_EVERY_SECONDS,
    wholeEverySeconds: config.VARVE_CHECK_EVERY_SECONDS,
    silenceSeconds: config.VARVE_RUN_SILENCE_SECONDS,
    unfinishedSeconds: config.VARVE_UNFINISHED_SECONDS,
    unknownAgeSeconds: config.VARVE_UNKNOWN_AGE_SECONDS,
  })
  closer.add('maintenance', () => maintenance.close())
})
