import type { PageRef, Root } from '@varve/block-map'
import { errorReport } from '@varve/errors'
import type { CheckContext } from './check-context.ts'
import { eachPack, newRefs, pagesOf } from './page-walk.ts'

/** An object that this catalog knows nothing of. */
export interface Unknown {
  readonly key: string
  readonly size: number
  readonly kind: 'pack' | 'map' | 'root'
  /** Of the pack, map or image. */
  readonly id: string
}

/**
 * Which of these objects does no restore point in the repository need? Every manifest there is followed, also those of points that the catalog does
 * not know: manifest -> roots -> maps -> packs. Pages are read only for the sake of packs, and those that the point before has too only once.
 *
 * @returns `certain`: everything could be read
 */
export async function unreferenced(
  unknown: readonly Unknown[],
  { repository, log, signal }: CheckContext,
): Promise<{ readonly objects: readonly Unknown[]; readonly certain: boolean }> {
  const left = { pack: new Map<string, Unknown>(), map: new Map<string, Unknown>(), root: new Map<string, Unknown>() }
  for (const object of unknown) left[object.kind].set(object.id, object)
  let certain = true
  const previous = new Map<string, Root>()
  let vmId = ''

  const tryTo = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      signal.throwIfAborted()
      if (errorReport(error).retryable) throw error
      log.warn({ err: error }, 'a restore point cannot be read: nothing of an unknown owner is taken away')
      certain = false
    }
  }

  for (const key of await repository.listManifests(undefined, { signal })) {
    await tryTo(async () => {
      const manifest = await repository.getManifest(key, { signal })
      if (manifest.vm.id !== vmId) previous.clear()
      vmId = manifest.vm.id
      for (const image of manifest.images) {
        left.root.delete(image.imageId)
        await tryTo(async () => {
          const root = await repository.getRoot(image.rootKey, { signal })
          const refs = newRefs(root, previous.get(image.diskId))
          previous.set(image.diskId, root)
          await follow(refs)
        })
      }
    })
  }
  return { objects: [...left.pack.values(), ...left.map.values(), ...left.root.values()], certain }

  async function follow(refs: readonly PageRef[]): Promise<void> {
    for (const { mapId } of refs) left.map.delete(mapId)
    if (left.pack.size === 0) return
    for await (const answer of pagesOf(refs, repository, signal)) {
      if ('error' in answer) throw answer.error
      for (const [packId] of eachPack(answer.page)) left.pack.delete(packId)
    }
  }
}
