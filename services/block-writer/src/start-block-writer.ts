import { availableParallelism } from 'node:os'
import type { Catalog } from '@varve/catalog-client'
import type { QueueDoor } from '@varve/queue'
import type { StoreSettings } from '@varve/repository'
import { Closer, type Logger, workerFile } from '@varve/runtime'
import { DiskTargets } from './disk-target.ts'
import { endOrRetry } from './end-or-retry.ts'
import { LanePool } from './lane-pool.ts'
import { type OpenPlatform, Platforms } from './platforms.ts'
import { writeRange } from './write-range.ts'

export interface BlockWriterServiceDeps {
  readonly catalog: Catalog
  readonly queue: QueueDoor
  readonly openPlatform: OpenPlatform
  readonly repositoryUrl: string
  readonly storeSettings?: StoreSettings
  readonly log: Logger
  /** Threads, and so ranges at the same time (default one a core, at most two). */
  readonly lanes?: number
}

/** Write ranges until closed. Closes none of its dependencies. */
export async function startBlockWriterService(deps: BlockWriterServiceDeps): Promise<{ close(): Promise<void> }> {
  const { catalog, queue, log } = deps
  const concurrency = deps.lanes ?? Math.min(2, availableParallelism())
  const platforms = new Platforms(catalog, deps.openPlatform)
  const targets = new DiskTargets(platforms)
  const lanes = new LanePool(workerFile(import.meta.url, './lane.js'), {
    repositoryUrl: deps.repositoryUrl,
    storeSettings: deps.storeSettings ?? {},
  })
  const closer = new Closer()
  closer.add('platforms', () => platforms.close())
  closer.add('lanes', () => lanes.close())
  try {
    const worker = await queue.work(
      'write-range',
      async ({ payload, lastAttempt }, signal) => {
        try {
          await writeRange(payload.rangeId, { catalog, targets, lanes, log }, signal)
        } catch (error) {
          await endOrRetry(error, { ...payload, lastAttempt, signal }, catalog, log)
        }
      },
      { concurrency },
    )
    closer.add('write-range', () => worker.close())
    return closer
  } catch (error) {
    await closer.close()
    throw error
  }
}
