import { blockCount, diffBlocks, diffPages, PAGE_BLOCKS, Page } from '@varve/block-map'
import { openRepository, openStore } from '@varve/repository'
import { strip } from './paint.ts'

/**
 * Which blocks differ between two restore points, drawn per disk: answered from the repository alone, page hashes first, so that only
 * differing pages are read. Without `beforeId`: the blocks that are stored at all.
 */
export async function changedStrips(
  repositoryUrl: string,
  pointId: string,
  beforeId: string | null,
): Promise<{ diskId: string; picture: string; blocks: number }[]> {
  const store = await openStore(repositoryUrl, {})
  const repository = await openRepository(store, {})
  try {
    const manifests = new Map<string, Awaited<ReturnType<typeof repository.getManifest>>>()
    for await (const { key } of store.list('points/')) {
      const manifest = await repository.getManifest(key)
      manifests.set(manifest.restorePointId, manifest)
    }
    const pagesOf = async (rootKey: string | undefined, indexes?: ReadonlySet<number>): Promise<Map<number, Page>> => {
      if (rootKey === undefined) return new Map()
      const root = await repository.getRoot(rootKey)
      const refs = [...root.pages].filter(ref => indexes === undefined || indexes.has(ref.pageIndex))
      return new Map((await repository.getPages(refs)).map(page => [page.pageIndex, page]))
    }
    const strips: { diskId: string; picture: string; blocks: number }[] = []
    for (const image of manifests.get(pointId)?.images ?? []) {
      const before = beforeId === null ? undefined : manifests.get(beforeId)?.images.find(other => other.diskId === image.diskId)
      const root = await repository.getRoot(image.rootKey)
      const indexes =
        before === undefined ? [...root.pages].map(ref => ref.pageIndex) : diffPages(await repository.getRoot(before.rootKey), root)
      const wanted = new Set(indexes)
      const [now, then] = await Promise.all([pagesOf(image.rootKey, wanted), pagesOf(before?.rootKey, wanted)])
      const changed: number[] = []
      for (const pageIndex of wanted) {
        const blocksInPage = Math.min(PAGE_BLOCKS, blockCount(image.diskSize, image.blockSize) - pageIndex * PAGE_BLOCKS)
        const empty = Page.empty(pageIndex, blocksInPage)
        for (const block of diffBlocks(then.get(pageIndex) ?? empty, now.get(pageIndex) ?? empty))
          changed.push(pageIndex * PAGE_BLOCKS + block)
      }
      strips.push({ diskId: image.diskId, picture: strip(changed, blockCount(image.diskSize, image.blockSize)), blocks: changed.length })
    }
    return strips
  } finally {
    await store.close()
  }
}
