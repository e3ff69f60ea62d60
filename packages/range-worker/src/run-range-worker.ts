import { runService } from '@varve/runtime'
import { openParts, WORKER_NEEDS } from './open-parts.ts'
import { type LaneConfig, laneOptionsOf, storeSettingsOf, type WorkerConfig } from './settings.ts'
import type { RangeWorkerDeps } from './start-range-worker.ts'

/** The `main.ts` of a worker on ranges: `--show-config` prints its settings, else it works until a signal ends it. */
export function runRangeWorker(
  name: string,
  readConfig: () => WorkerConfig & LaneConfig,
  start: (deps: RangeWorkerDeps) => Promise<{ close(): Promise<void> }>,
): Promise<void> {
  return runService(name, { readConfig, needs: WORKER_NEEDS }, async service => {
    const { config, closer } = service
    const worker = await start({
      ...(await openParts(service, { create: false })),
      repositoryUrl: config.VARVE_REPOSITORY_URL,
      // Lanes open it again by themselves; by now the bucket is there.
      storeSettings: { ...storeSettingsOf(config), createBucket: false },
      ...laneOptionsOf(config),
    })
    closer.add(name, () => worker.close())
  })
}
