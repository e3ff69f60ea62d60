import { createLogger, runProcess, showConfig } from '@varve/runtime'
import { openParts } from './open-parts.ts'
import { type LaneConfig, laneOptionsOf, storeSettingsOf, type WorkerConfig } from './settings.ts'
import type { RangeWorkerDeps } from './start-range-worker.ts'

/** The `main.ts` of a worker on ranges: `--show-config` prints its settings, else it works until a signal ends it. */
export function runRangeWorker(
  service: string,
  readConfig: () => WorkerConfig & LaneConfig,
  start: (deps: RangeWorkerDeps) => Promise<{ close(): Promise<void> }>,
): Promise<void> {
  return runProcess(async closer => {
    const config = readConfig()
    if (process.argv.includes('--show-config')) {
      console.log(showConfig(config))
      return
    }
    const log = createLogger(service, config.VARVE_LOG_LEVEL)
    const worker = await start({
      ...(await openParts(config, log, closer)),
      repositoryUrl: config.VARVE_REPOSITORY_URL,
      storeSettings: storeSettingsOf(config),
      ...laneOptionsOf(config),
    })
    closer.add(service, () => worker.close())
    log.info('ready')
  })
}
