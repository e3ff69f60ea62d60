import { PageRefs, pageBytes } from '@varve/block-map'
import { openRepository, type Repository } from '../repository.ts'
import { MemoryStore } from '../stores/memory-store.ts'

const BLOCK = 65_536
/** A disk of six pages. */
export const SIX_PAGES = { diskSize: 6 * pageBytes(BLOCK), blockSize: BLOCK } as const

/** A repository with the root of an image that names these of its six pages; the pages themselves are nowhere. */
export async function namePages(imageId: string, pageIndexes: readonly number[]): Promise<{ repository: Repository; rootKey: string }> {
  const repository = await openRepository(new MemoryStore(), { create: true, blockSize: BLOCK })
  const any = { mapId: 'a'.repeat(32), offset: 32, length: 100, hash: Buffer.alloc(32), storedBlocks: 1 }
  const pages = PageRefs.from(pageIndexes.map(pageIndex => ({ ...any, pageIndex })))
  return { repository, rootKey: await repository.putRoot({ imageId, ...SIX_PAGES, pages }) }
}
