import { randomUUID } from 'node:crypto'
import type { RangeResult } from '@varve/catalog-client'
import { connectNbd, type NbdBackend, type NbdClient, startNbdServer } from '@varve/nbd'
import type { PlatformDriver } from '@varve/platform'
import { openRepository, type Repository, type Store } from '@varve/repository'
import { createLogger } from '@varve/runtime'
import { DiskAddresses, type DiskSide } from '../disk-addresses.ts'
import type { LaneTask } from '../lane-messages.ts'
import { Platforms } from '../platforms.ts'
import { type RangeWork, workOnRange } from '../work-on-range.ts'
import { type At, CutAt, watchEffects } from './effects.ts'
import type { OneRange } from './range-world.ts'

/** One range of one disk, and what works on it: the service's own work, in a lane that runs here so that each of its effects can be cut. */
export interface CutRange<Task extends LaneTask> {
  readonly side: DiskSide
  readonly work: RangeWork<Task>
  lane(task: Task, deps: { readonly disk: NbdClient; readonly repository: Repository; readonly signal: AbortSignal }): Promise<RangeResult>
  readonly catalog: OneRange
  readonly disk: NbdBackend
  readonly store: Store
}

const log = createLogger('cut-range', 'silent')

/** A process that works on the range once. */
async function inProcess<Task extends LaneTask>({ side, work, lane, catalog, disk, store }: CutRange<Task>, at: At): Promise<void> {
  const server = await startNbdServer({ listen: { host: '127.0.0.1', port: 0 }, exports: { open: async () => disk } })
  const { host, port } = server.address as { host: string; port: number }
  const client = await connectNbd({ host, port, exportName: 'disk' })
  try {
    // What opens a repository and a disk is part of starting.
    let started = false
    const hook: At = step => (started ? at(step) : undefined)
    const repository = await openRepository(watchEffects(store, 'store', hook, { sequences: ['list'] }))
    const platform = { diskAddress: async () => ({ host, port, exportName: 'disk' }), getLease: async () => ({ status: 'running' }) }
    const watchedCatalog = watchEffects(catalog, 'catalog', hook).asCatalog
    const platforms = new Platforms(watchedCatalog, () => watchEffects(platform, 'platform', hook) as unknown as PlatformDriver)
    const signal = new AbortController().signal
    const lanes = { run: (task: Task) => lane(task, { disk: watchEffects(client, 'disk', hook), repository, signal }) }
    const deps = {
      catalog: watchedCatalog,
      repository,
      disks: new DiskAddresses(platforms, side),
      lanes,
      log,
      workerName: () => randomUUID(),
    }
    started = true
    await workOnRange('range', work, deps, signal)
  } finally {
    await client.close().catch(() => {})
    await server.close()
  }
}

/**
 * Work on a range by a process that is cut off at step `n`, then by two at once.
 *
 * @returns where it was cut; null when it came to its end before
 */
export async function cutRange<Task extends LaneTask>(range: CutRange<Task>, n: number): Promise<string | null> {
  const cut = new CutAt(n)
  await cut.run(() => inProcess(range, cut.at))
  await Promise.all([1, 2].map(() => inProcess(range, () => {})))
  return cut.where
}
