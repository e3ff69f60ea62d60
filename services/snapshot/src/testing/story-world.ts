import type { RunForWork } from '@varve/catalog-client'
import type { PlatformDisk } from '@varve/platform'
import { Platforms } from '@varve/range-worker'
import { type At, watchEffects } from '@varve/range-worker/testing'
import { MemoryStore, openRepository, type Repository } from '@varve/repository'
import { createLogger } from '@varve/runtime'
import type { SnapshotDeps } from '../snapshot-deps.ts'
import { MemoryCatalog } from './memory-catalog.ts'
import { MemoryPlatform } from './memory-platform.ts'

const MiB = 1024 * 1024
const PLATFORM = { sequences: ['changedAreas', 'listVms'], pure: ['configuredDisks'], during: { createSnapshot: 3, createVm: 5 } }
const RUN_ID = '00000000-0000-4000-8000-000000000001'

/** A platform with one VM, a catalog with one run, and an empty repository. */
export interface StoryWorld {
  readonly platform: MemoryPlatform
  readonly catalog: MemoryCatalog
  readonly store: MemoryStore
  readonly deps: SnapshotDeps
  /** The same, but `at` is called before and after each call to platform, catalog and store, and during the long ones, and may throw. */
  watched(at: At): SnapshotDeps
}

export async function storyWorld(run: Partial<RunForWork> & Pick<RunForWork, 'kind'>, disks = twoDisks()): Promise<StoryWorld> {
  const platform = new MemoryPlatform()
  platform.vms.set('vm-1', { id: 'vm-1', name: 'app', power: 'on', busy: false, disks, exclusions: [] })
  const catalog = new MemoryCatalog({ id: RUN_ID, ...run })
  const store = new MemoryStore()
  const repository = await openRepository(store, { create: true })
  // Of the one that is watched last. What opens a repository is not part of a job.
  let atStore: At = () => {}
  const watchedRepository = await openRepository(watchEffects(store, 'store', step => atStore(step), { sequences: ['list'] }))
  const log = createLogger('test', 'silent')
  const depsOver = (seenPlatform: MemoryPlatform, seenCatalog: MemoryCatalog, seenRepository: Repository): SnapshotDeps => {
    const connection = {
      getPlatform: async () => ({ id: 'platform', kind: 'scp', url: 'memory:', credentials: { username: '', password: '' } }),
    }
    const platforms = new Platforms(connection as never, () => seenPlatform)
    return { catalog: seenCatalog.asCatalog, platforms, repository: seenRepository, log, retryMs: 1 }
  }
  return {
    platform,
    catalog,
    store,
    deps: depsOver(platform, catalog, repository),
    watched(at) {
      atStore = at
      return depsOver(watchEffects(platform, 'platform', at, PLATFORM), watchEffects(catalog, 'catalog', at), watchedRepository)
    },
  }
}

export function twoDisks(): PlatformDisk[] {
  return [
    { id: 'virtio0', size: 300 * MiB, datastoreId: 'store' },
    { id: 'virtio1', size: 2 * MiB + 512, datastoreId: 'store' },
  ]
}
