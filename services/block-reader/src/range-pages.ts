import { blocksInPage, PAGE_BLOCKS, Page, type PageRef, pageBytes } from '@varve/block-map'
import type { Extent } from '@varve/cbt'
import type { Repository } from '@varve/repository'
import type { DiskGeometry } from './block-spans.ts'
import { BlockReaderError } from './errors.ts'

/** The pages that a range touches, to be brought up to date block by block: the parent's, or empty ones. */
export class RangePages {
  readonly #pages: ReadonlyMap<number, Page>

  private constructor(pages: ReadonlyMap<number, Page>) {
    this.#pages = pages
  }

  /** @throws RepositoryError MAP_MISSING, MAP_DAMAGED, BlockReaderError PARENT_DIFFERS */
  static async load(
    extents: readonly Extent[],
    geometry: DiskGeometry,
    parentRootKey: string | null,
    repository: Pick<Repository, 'getRoot' | 'getPages'>,
    signal: AbortSignal,
  ): Promise<RangePages> {
    const { diskSize, blockSize } = geometry
    const pages = new Map<number, Page>()
    for (const index of touchedPages(extents, geometry)) pages.set(index, Page.empty(index, blocksInPage(diskSize, blockSize, index)))
    if (parentRootKey !== null) {
      const root = await repository.getRoot(parentRootKey, { signal })
      if (root.diskSize !== diskSize || root.blockSize !== blockSize) {
        throw new BlockReaderError(
          'PARENT_DIFFERS',
          `root ${parentRootKey} is of a disk of ${root.diskSize} bytes in blocks of ${root.blockSize}`,
        )
      }
      const refs = [...pages.keys()].map(index => findRef(root.pages, index)).filter(ref => ref !== undefined)
      for (const page of await repository.getPages(refs, { signal })) {
        if (page.blockCount !== blocksInPage(diskSize, blockSize, page.pageIndex)) {
          throw new BlockReaderError('PARENT_DIFFERS', `page ${page.pageIndex} of root ${parentRootKey} has ${page.blockCount} blocks`)
        }
        pages.set(page.pageIndex, page)
      }
    }
    return new RangePages(pages)
  }

  /** In order of the disk. */
  get all(): readonly Page[] {
    return [...this.#pages.values()]
  }

  /** The page of a block and its place in it; `blockIndex` is the block's index in the disk. */
  of(blockIndex: number): { readonly page: Page; readonly at: number } {
    return { page: this.#pages.get(Math.floor(blockIndex / PAGE_BLOCKS))!, at: blockIndex % PAGE_BLOCKS }
  }
}

function* touchedPages(extents: readonly Extent[], { blockSize }: DiskGeometry): Generator<number> {
  const perPage = pageBytes(blockSize)
  let next = 0
  for (const { offset, length } of extents) {
    const last = Math.floor((offset + length - 1) / perPage)
    for (let index = Math.max(next, Math.floor(offset / perPage)); index <= last; index++) yield index
    next = Math.max(next, last + 1)
  }
}

/** Roots are ascending: halve until found. */
function findRef(refs: readonly PageRef[], pageIndex: number): PageRef | undefined {
  let low = 0
  let high = refs.length - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const ref = refs[middle]!
    if (ref.pageIndex === pageIndex) return ref
    if (ref.pageIndex < pageIndex) low = middle + 1
    else high = middle - 1
  }
  return undefined
}
