import { decodePageRefs, encodePageRefs, type Page, type PageRange, type PageRef, pageBytes } from '@varve/block-map'
import type { Extent } from '@varve/cbt'
import { hasCode } from '@varve/errors'
import type { Repository } from '@varve/repository'
import { BlockWriterError } from './errors.ts'
import type { DiskGeometry, PageLookup } from './write-plan.ts'

export interface ImagePages {
  readonly lookup: PageLookup
  /** Pages that can't be read, as what they cover of the disk; only where damage is to be passed over. */
  readonly damage: readonly (Extent & { readonly code: string })[]
}

interface Wanted extends DiskGeometry {
  /** Of `sourcePagesOf`. */
  readonly sourcePages: Uint8Array
  readonly onDamage: 'fail' | 'continue'
}

/**
 * The image's references to the pages that a range covers, encoded. A root is 16 MiB for 63 TiB: only these few go to a lane.
 *
 * @throws BlockWriterError SOURCE_IMAGE_DIFFERS, RepositoryError, BlockMapError
 */
export async function sourcePagesOf(
  range: DiskGeometry & PageRange,
  sourceRootKey: string,
  repository: Pick<Repository, 'getRoot'>,
  signal: AbortSignal,
): Promise<Buffer> {
  const { diskSize, blockSize } = range
  const root = await repository.getRoot(sourceRootKey, { signal })
  if (root.diskSize !== diskSize || root.blockSize !== blockSize) {
    throw new BlockWriterError(
      'SOURCE_IMAGE_DIFFERS',
      `root ${sourceRootKey} is of a disk of ${root.diskSize} bytes in blocks of ${root.blockSize}`,
    )
  }
  return encodePageRefs(root.pages.ofRange(range, blockSize))
}

/** The pages of an image that a range covers. @throws RepositoryError, BlockMapError */
export async function loadPages(
  { sourcePages, onDamage, diskSize, blockSize }: Wanted,
  repository: Pick<Repository, 'getPages'>,
  signal: AbortSignal,
): Promise<ImagePages> {
  const refs = decodePageRefs(sourcePages)
  const pages = new Map<number, Page | 'damaged'>()
  const damage: (Extent & { code: string })[] = []
  for (const [ref, page] of await readPages(refs, onDamage, repository, signal)) {
    pages.set(ref.pageIndex, typeof page === 'string' ? 'damaged' : page)
    if (typeof page !== 'string') continue
    const offset = ref.pageIndex * pageBytes(blockSize)
    damage.push({ offset, length: Math.min(pageBytes(blockSize), diskSize - offset), code: page })
  }
  return { lookup: pageIndex => pages.get(pageIndex) ?? 'zero', damage }
}

/** Each page, or the code that says why it is lost. */
async function readPages(
  refs: readonly PageRef[],
  onDamage: 'fail' | 'continue',
  repository: Pick<Repository, 'getPages'>,
  signal: AbortSignal,
): Promise<readonly (readonly [PageRef, Page | string])[]> {
  try {
    const pages = await repository.getPages(refs, { signal })
    return refs.map((ref, i) => [ref, pages[i]!] as const)
  } catch (error) {
    if (onDamage === 'fail' || !hasCode(error, 'MAP_MISSING', 'MAP_DAMAGED')) throw error
    // One by one, to find out which ones are lost.
    if (refs.length === 1) return [[refs[0]!, error.code]]
    const singles = []
    for (const ref of refs) singles.push(...(await readPages([ref], onDamage, repository, signal)))
    return singles
  }
}
