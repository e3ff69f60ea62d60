import type { Root } from '@varve/block-map'
import { errorReport } from '@varve/errors'
import type { CheckContext } from './check-context.ts'
import type { ObjectTable } from './object-table.ts'
import { eachPack, newRefs, pagesOf } from './page-walk.ts'

/** Objects that this catalog knows nothing of: packs and maps by id, roots by image, with their sizes. */
export interface Unknown {
  readonly pack: ObjectTable
  readonly map: ObjectTable
  readonly root: Map<string, number>
}

/**
 * Forget those that a restore point in the repository needs. Every manifest there is followed, also those of points that the catalog does not know: manifest ->
 * roots -> maps -> packs. Pages are read only for the sake of packs, and those that the point before has too only once.
 *
 * @param read the keys of manifests that were read before: left out, and grows
 * @returns whether everything could be read
 */
export async function forgetReferenced(unknown: Unknown, read: Set<string>, { repository, log, signal }: CheckContext): Promise<boolean> {
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
    if (read.has(key)) continue
    read.add(key)
    await tryTo(async () => {
      const manifest = await repository.getManifest(key, { signal })
      if (manifest.vm.id !== vmId) previous.clear()
      vmId = manifest.vm.id
      for (const image of manifest.images) {
        unknown.root.delete(image.imageId)
        await tryTo(async () => {
          const root = await repository.getRoot(image.rootKey, { signal })
          const before = previous.get(image.diskId)
          previous.set(image.diskId, root)
          await follow(root, before)
        })
      }
    })
  }
  return certain

  async function follow(root: Root, before: Root | undefined): Promise<void> {
    for (const { mapId } of newRefs(root, before)) unknown.map.forget(mapId)
    if (unknown.pack.count === 0) return
    for await (const answer of pagesOf(newRefs(root, before), repository, signal)) {
      if ('error' in answer) throw answer.error
      for (const [packId] of eachPack(answer.page)) unknown.pack.forget(packId)
    }
  }
}
