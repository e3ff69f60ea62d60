import { availableParallelism } from 'node:os'
import type { Catalog, RangeResult } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import type { QueueDoor } from '@varve/queue'
import type { Repository, StoreSettings } from '@varve/repository'
import { Closer, type Logger, type Metrics } from '@varve/runtime'
import { DiskAddresses, type DiskSide } from './disk-addresses.ts'
import { endOrRetry } from './end-or-retry.ts'
import type { LaneTask } from './lane-messages.ts'
import { LanePool } from './lane-pool.ts'
import { type OpenPlatform, Platforms } from './platforms.ts'
import { RangeMetrics } from './range-metrics.ts'
import { isPassingForRange, type RangeWork, workOnRange } from './work-on-range.ts'
import { workerNames } from './worker-name.ts'

export interface RangeWorkerDeps {
  readonly catalog: Catalog
  readonly queue: QueueDoor
  readonly openPlatform: OpenPlatform
  readonly repository: Pick<Repository, 'getRoot'>
  /** The same, for lanes, which open it themselves. */
  readonly repositoryUrl: string
  readonly storeSettings?: StoreSettings
  readonly log: Logger
  /** Threads, and so ranges at the same time (default one a core, at most two). */
  readonly lanes?: number
  /** Gets of blocks at the same time in each lane (default the repository's). */
  readonly getsInFlight?: number
  /** Of new blocks in each lane (default the repository's). */
  readonly zstdLevel?: number
  /** A range that makes no step for this long is given up and tried again, ms (default 5 minutes). */
  readonly stallMs?: number
  /** Where ranges are counted. */
  readonly metrics?: Metrics | undefined
  /** How long ranges under way may go on at a stop before they are handed back, ms (default 10 s). */
  readonly graceMs?: number
}

/** One kind of job on ranges. */
export interface RangeJob<Task extends LaneTask> extends RangeWork<Task> {
  readonly name: 'read-range' | 'write-range'
  readonly side: DiskSide
  /** The built module of its lanes. */
  readonly laneFile: URL
}

/** Work on ranges until closed. Closes none of its dependencies. */
export async function startRangeWorker<Task extends LaneTask>(
  job: RangeJob<Task>,
  deps: RangeWorkerDeps,
): Promise<{ close(): Promise<void> }> {
  const { catalog, repository, queue, log, stallMs, repositoryUrl, storeSettings = {}, getsInFlight, zstdLevel } = deps
  const concurrency = deps.lanes ?? Math.min(2, availableParallelism())
  const platforms = new Platforms(catalog, deps.openPlatform)
  const disks = new DiskAddresses(platforms, job.side)
  const lanes = new LanePool<Task, RangeResult>(job.laneFile, { repositoryUrl, storeSettings, getsInFlight, zstdLevel })
  const metrics = deps.metrics === undefined ? undefined : new RangeMetrics(deps.metrics, job.name)
  const workerName = workerNames()
  const closer = new Closer()
  closer.add('platforms', () => platforms.close())
  closer.add('lanes', () => lanes.close())
  try {
    const worker = await queue.work(
      job.name,
      async ({ payload, lastAttempt }, signal) => {
        try {
          await workOnRange(payload.rangeId, job, { catalog, repository, disks, lanes, log, workerName, stallMs, metrics }, signal)
        } catch (error) {
          metrics?.ended(signal.aborted ? 'handed-back' : 'failed')
          if (job.side === 'source' && hasCode(error, 'LEASE_LOST')) {
            // A backup's lease can be taken again; whoever renews leases does that, or ends the run.
            log.warn({ ...payload, err: error }, 'the lease is lost; the range waits for another')
            throw error
          }
          await endOrRetry(error, { ...payload, lastAttempt, signal }, isPassingForRange, { catalog, log })
        }
      },
      { concurrency },
    )
    closer.add(job.name, () => worker.close(deps.graceMs))
    return closer
  } catch (error) {
    await closer.close()
    throw error
  }
}
