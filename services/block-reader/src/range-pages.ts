import {
  blocksInPage,
  decodePageRefs,
  encodePageRefs,
  PAGE_BLOCKS,
  Page,
  type PageArena,
  type PageRef,
  pageBytes,
  touchedPages,
} from '@varve/block-map'
import { type Extent, mergeExtents } from '@varve/cbt'
import { errorReport } from '@varve/errors'
import type { Repository } from '@varve/repository'
import type { DiskGeometry } from './block-spans.ts'
import { BlockReaderError } from './errors.ts'

/** Part of a disk whose page in the parent can't be read any more, and why. */
export interface DamagedPage extends Extent {
  readonly code: string
}

/** A page that is gone or altered in the repository. Anything else (a store that does not answer) is no damage. */
const DAMAGE: ReadonlySet<string> = new Set(['MAP_DAMAGED', 'MAP_MISSING', 'MAP_CORRUPT', 'MAP_VERSION_UNKNOWN'])

interface LoadDeps {
  readonly repository: Pick<Repository, 'getPages'>
  /** Where the pages lie. */
  readonly arena: PageArena
  readonly signal: AbortSignal
}

/**
 * The parent's references to the pages that a range touches, encoded. A root is 16 MiB for 63 TiB: only these few go to a lane.
 *
 * @throws RepositoryError, BlockMapError, BlockReaderError PARENT_DIFFERS
 */
export async function parentPagesOf(
  extents: readonly Extent[],
  geometry: DiskGeometry,
  parentRootKey: string,
  repository: Pick<Repository, 'getRoot'>,
  signal: AbortSignal,
): Promise<Buffer> {
  const root = await repository.getRoot(parentRootKey, { signal })
  if (root.diskSize !== geometry.diskSize || root.blockSize !== geometry.blockSize) {
    throw new BlockReaderError(
      'PARENT_DIFFERS',
      `root ${parentRootKey} is of a disk of ${root.diskSize} bytes in blocks of ${root.blockSize}`,
    )
  }
  return encodePageRefs(root.pages.touchedBy(extents, geometry.blockSize))
}

/**
 * The pages that a range touches, to be brought up to date block by block: the parent's, or empty ones.
 *
 * The snapshot holds the whole disk, so a page of the parent that is damaged is no reason to give up: it begins empty and all of it is
 * read, not just what changed. The new point is then sounder than its parent. It is always said (`damaged`).
 */
export class RangePages {
  readonly #pages: ReadonlyMap<number, Page>
  readonly damaged: readonly DamagedPage[]

  private constructor(pages: ReadonlyMap<number, Page>, damaged: readonly DamagedPage[]) {
    this.#pages = pages
    this.damaged = damaged
  }

  /** What must be read: the extents, and all of each damaged page. */
  toRead(extents: readonly Extent[]): readonly Extent[] {
    return this.damaged.length === 0 ? extents : mergeExtents([...extents, ...this.damaged])
  }

  /** `parentPages`: of `parentPagesOf`, null in a full. @throws RepositoryError when the store does not answer, BlockReaderError PARENT_DIFFERS */
  static async load(
    extents: readonly Extent[],
    geometry: DiskGeometry,
    parentPages: Uint8Array | null,
    { repository, arena, signal }: LoadDeps,
  ): Promise<RangePages> {
    const { diskSize, blockSize } = geometry
    const indexes = [...touchedPages(extents, blockSize)]
    const sound = new Map<number, Page>()
    const damaged: DamagedPage[] = []
    const damage = (index: number, code: string): void => {
      const offset = index * pageBytes(blockSize)
      damaged.push({ offset, length: Math.min(pageBytes(blockSize), diskSize - offset), code })
    }
    const refs = parentPages === null ? [] : decodePageRefs(parentPages)
    for (const page of await readPages(refs, { repository, arena, signal }, damage)) {
      if (page.blockCount !== blocksInPage(diskSize, blockSize, page.pageIndex)) {
        throw new BlockReaderError('PARENT_DIFFERS', `page ${page.pageIndex} of the parent has ${page.blockCount} blocks`)
      }
      sound.set(page.pageIndex, page)
    }
    const pages = indexes.map((index): [number, Page] => [
      index,
      sound.get(index) ?? Page.empty(index, blocksInPage(diskSize, blockSize, index), arena),
    ])
    return new RangePages(new Map(pages), damaged)
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

/** All at once; only when that meets damage one by one, to learn which. */
async function readPages(
  refs: readonly PageRef[],
  { repository, arena, signal }: LoadDeps,
  damage: (pageIndex: number, code: string) => void,
): Promise<readonly Page[]> {
  try {
    return await repository.getPages(refs, { signal, arena })
  } catch (error) {
    if (!DAMAGE.has(errorReport(error).code)) throw error
  }
  const sound: Page[] = []
  for (const ref of refs) {
    try {
      sound.push(...(await repository.getPages([ref], { signal, arena })))
    } catch (error) {
      const { code } = errorReport(error)
      if (!DAMAGE.has(code)) throw error
      damage(ref.pageIndex, code)
    }
  }
  return sound
}
