import type { RunForWork } from '@varve/catalog-client'
import type { PlatformDisk } from '@varve/platform'
import { Platforms } from '@varve/range-worker'
import { MemoryStore, openRepository } from '@varve/repository'
import { createLogger } from '@varve/runtime'
import type { SnapshotDeps } from '../snapshot-deps.ts'
import { MemoryCatalog } from './memory-catalog.ts'
import { MemoryPlatform } from './memory-platform.ts'

const MiB = 1024 * 1024
const RUN_ID = '00000000-0000-4000-8000-000000000001'

/** Thrown at a step that a test chose, in place of a kill -9: nothing after it is done, also no clean-up. */
export class Crash extends Error {}

/** A platform with one VM, a catalog with one run, and an empty repository. */
export interface StoryWorld {
  readonly platform: MemoryPlatform
  readonly catalog: MemoryCatalog
  readonly store: MemoryStore
  readonly deps: SnapshotDeps
  /** The same, but `at` is called before and after each call to platform and catalog, and during the long ones, and may throw. */
  watched(at: (step: string) => void | Promise<void>): SnapshotDeps
}

export async function storyWorld(run: Partial<RunForWork> & Pick<RunForWork, 'kind'>, disks = twoDisks()): Promise<StoryWorld> {
  const platform = new MemoryPlatform()
  platform.vms.set('vm-1', { id: 'vm-1', name: 'app', power: 'on', busy: false, disks, exclusions: [] })
  const catalog = new MemoryCatalog({ id: RUN_ID, ...run })
  const store = new MemoryStore()
  const repository = await openRepository(store, { create: true })
  const log = createLogger('test', 'silent')
  const depsOver = (seenPlatform: MemoryPlatform, seenCatalog: MemoryCatalog): SnapshotDeps => {
    const connection = {
      getPlatform: async () => ({ id: 'platform', kind: 'scp', url: 'memory:', credentials: { username: '', password: '' } }),
    }
    const platforms = new Platforms(connection as never, () => seenPlatform)
    return { catalog: seenCatalog.asCatalog, platforms, repository, log, retryMs: 1 }
  }
  return {
    platform,
    catalog,
    store,
    deps: depsOver(platform, catalog),
    watched: at => depsOver(watch(platform, 'platform', at), watch(catalog, 'catalog', at)),
  }
}

export function twoDisks(): PlatformDisk[] {
  return [
    { id: 'virtio0', size: 300 * MiB, datastoreId: 'store' },
    { id: 'virtio1', size: 2 * MiB + 512, datastoreId: 'store' },
  ]
}

/** Calls of an object, with a hook before and after each. */
function watch<T extends object>(target: T, name: string, at: (step: string) => void | Promise<void>): T {
  const proxy: T = new Proxy(target, {
    get(_, key) {
      if (key === 'asCatalog') return proxy
      const value = Reflect.get(target, key, target) as unknown
      if (typeof value !== 'function') return value
      // Only looks at what it is given.
      if (key === 'configuredDisks') return value.bind(target) as unknown
      // Listings are generators: a hook before is enough.
      if (key === 'changedAreas' || key === 'listVms') {
        return async function* (...args: unknown[]) {
          await at(`before ${name}.${String(key)}`)
          yield* value.apply(target, args) as AsyncIterable<unknown>
        }
      }
      return async (...args: unknown[]) => {
        await at(`before ${name}.${String(key)}`)
        // What takes the platform a while: also in the middle of it.
        const during = async (): Promise<void> => at(`during ${name}.${String(key)}`)
        if (key === 'createSnapshot') args[3] = during
        if (key === 'createVm') args[5] = during
        const result: unknown = await value.apply(target, args)
        await at(`after ${name}.${String(key)}`)
        return result
      }
    },
  })
  return proxy
}
