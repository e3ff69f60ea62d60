import { isDeepStrictEqual } from 'node:util'
import { encodeRoot, type Root } from '@varve/block-map'
import { hasCode } from '@varve/errors'
import type { RestorePointManifest, WrittenObject } from '@varve/repository'
import { sleep } from '@varve/runtime'
import { SnapshotError } from './errors.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/** How many packs, and how many maps, of a run are looked at before it is sealed; `all`: each of them, whole. */
export type ReadBackLimit = number | 'all'

export const READ_BACK_DEFAULT = 16
/** Objects looked at side by side; of whole packs (32 MiB in memory) fewer. */
const IN_FLIGHT = 8
const WHOLE_IN_FLIGHT = 2
/** A wrong answer may come from the way, and a put may show late: only what is wrong each time is a lie. */
const LOOKS = 3
const PAUSE_MS = 500

type Deps = Pick<SnapshotDeps, 'catalog' | 'repository' | 'log' | 'readBack' | 'retryMs'>

/**
 * Does the store still have what the run's ranges wrote, as they wrote it? A store that accepts and does not keep, or keeps something else, can't
 * be prevented; here it mostly shows while the snapshot is still there and the older points are the newest ones offered.
 *
 * @throws SnapshotError STORE_LIED with the keys
 */
export async function readBackObjects(runId: string, deps: Deps, signal: AbortSignal): Promise<void> {
  const { catalog, repository, log, readBack = READ_BACK_DEFAULT } = deps
  if (readBack === 0) return
  const started = performance.now()
  const whole = readBack === 'all'
  const objects = chooseObjects(await catalog.runObjects(runId), readBack, Math.random)
  const lies: string[] = []
  await sideBySide(objects, whole ? WHOLE_IN_FLIGHT : IN_FLIGHT, async object => {
    // A signal each: so many calls at a time would look like a leak of listeners on one.
    const why = await lookedAgain(deps, signal, () => repository.readBack(object, { whole, signal: AbortSignal.any([signal]) }))
    if (why !== undefined) lies.push(`${object.key}: ${why}`)
  })
  if (lies.length > 0) throw lied(lies)
  log.debug({ runId, objects: objects.length, ms: Math.round(performance.now() - started) }, 'read back')
}

/** The same for what sealing wrote: the root of one disk. @throws SnapshotError STORE_LIED */
export async function readBackRoot(key: string, root: Root, deps: Deps, signal: AbortSignal): Promise<void> {
  const wanted = encodeRoot(root)
  await readBackOne(key, deps, signal, async () => {
    const found = await deps.repository.getRoot(key, { signal, fresh: true })
    return Buffer.compare(encodeRoot(found), wanted) === 0
  })
}

/** @throws SnapshotError STORE_LIED */
export async function readBackManifest(key: string, manifest: RestorePointManifest, deps: Deps, signal: AbortSignal): Promise<void> {
  // As it was written: JSON leaves out what is undefined.
  const wanted: unknown = JSON.parse(JSON.stringify(manifest))
  await readBackOne(key, deps, signal, async () =>
    isDeepStrictEqual(await deps.repository.getManifest(key, { signal, fresh: true }), wanted),
  )
}

async function readBackOne(key: string, deps: Deps, signal: AbortSignal, isRight: () => Promise<boolean>): Promise<void> {
  if (deps.readBack === 0) return
  const why = await lookedAgain(deps, signal, async () => {
    try {
      return (await isRight()) ? undefined : 'it is another'
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return 'it is not there'
      if (hasCode(error, 'MAP_CORRUPT', 'MANIFEST_INVALID', 'OBJECT_TOO_LARGE')) return error.message
      throw error
    }
  })
  if (why !== undefined) throw lied([`${key}: ${why}`])
}

/** All of a few, a random choice of many: packs and maps each up to the limit. */
export function chooseObjects<Item extends Pick<WrittenObject, 'kind'>>(
  objects: readonly Item[],
  limit: ReadBackLimit,
  random: () => number,
): readonly Item[] {
  if (limit === 'all') return objects
  return (['pack', 'map'] as const).flatMap(kind => {
    const left = objects.filter(object => object.kind === kind)
    const chosen: Item[] = []
    while (chosen.length < limit && left.length > 0) {
      const at = Math.floor(random() * left.length)
      chosen.push(left[at]!)
      left[at] = left.at(-1)!
      left.pop()
    }
    return chosen
  })
}

async function lookedAgain({ retryMs }: Deps, signal: AbortSignal, look: () => Promise<string | undefined>): Promise<string | undefined> {
  for (let n = 1; ; n++) {
    const why = await look()
    if (why === undefined || n === LOOKS) return why
    await sleep(Math.min(PAUSE_MS, retryMs ?? PAUSE_MS), signal)
  }
}

async function sideBySide<Item>(items: readonly Item[], inFlight: number, work: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, items.length) }, worker))
}

/** Keys named in a message. */
const NAMED = 5

function lied(lies: readonly string[]): SnapshotError {
  const more = lies.length > NAMED ? `, and ${lies.length - NAMED} more` : ''
  return new SnapshotError('STORE_LIED', `the repository does not give back what it accepted: ${lies.slice(0, NAMED).join(', ')}${more}`, {
    objects: lies.length,
  })
}
