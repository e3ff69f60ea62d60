import { blocksInPage, type Page, type PageRef } from '@varve/block-map'
import { type ReadBlocksOptions, type Repository, RepositoryError } from '@varve/repository'
import { blockExtent, type DamagedRange, type DiskGeometry, type Piece, type PieceResult, pieceExtent } from './piece.ts'

/** Gets at the same time in each piece, and their size: what moves most bytes without holding more than 10 MiB for it. */
const READ: ReadBlocksOptions = { inFlight: 4, maxGet: 2 * 1024 * 1024 }
/** Pages kept: those of the pieces under way in one lane. */
const KEPT_PAGES = 4

/** These say that what was written is gone or altered; anything else is the store's trouble and is thrown. */
const PAGE_DAMAGE = new Set(['MAP_MISSING', 'MAP_DAMAGED'])

/** Reads pieces of one disk and hands their blocks over, each checked against its hash, in no order. */
export class PieceReader {
  readonly #repository: Repository
  readonly #geometry: DiskGeometry
  readonly #write: (offset: number, bytes: Uint8Array) => void
  readonly #pages = new Map<number, Promise<Page>>()

  constructor(repository: Repository, geometry: DiskGeometry, write: (offset: number, bytes: Uint8Array) => void) {
    this.#repository = repository
    this.#geometry = geometry
    this.#write = write
  }

  /** @throws RepositoryError for what is no damage; what `write` throws; the signal's reason */
  async read(piece: Piece, signal: AbortSignal): Promise<PieceResult> {
    const { ref, first, count } = piece
    let page: Page
    try {
      page = await this.#page(ref, signal)
    } catch (error) {
      if (!(error instanceof RepositoryError && PAGE_DAMAGE.has(error.code))) throw error
      return { bytes: 0, stored: 0, packs: [], damage: [damaged(pieceExtent(piece, this.#geometry), error)] }
    }
    const requests = []
    const packs = new Set<string>()
    let stored = 0
    for (let entry = first; entry < first + count; entry++) {
      const block = page.entry(entry)
      if (block === undefined) continue
      requests.push({ index: entry, page, entry })
      packs.add(block.packId)
      stored += block.storedLength
    }
    let bytes = 0
    const damage: DamagedRange[] = []
    for await (const block of this.#repository.readBlocks(requests, { ...READ, signal })) {
      const { offset, length } = blockExtent(ref.pageIndex, block.index, this.#geometry)
      if (block.damage !== undefined) damage.push(damaged({ offset, length }, block.damage))
      else {
        this.#write(offset, block.bytes.length > length ? block.bytes.subarray(0, length) : block.bytes)
        bytes += length
      }
    }
    return { bytes, stored, packs: [...packs], damage: damage.sort((a, b) => a.offset - b.offset) }
  }

  /** Pieces of a page that are read at the same time share one fetch. */
  #page(ref: PageRef, signal: AbortSignal): Promise<Page> {
    const known = this.#pages.get(ref.pageIndex)
    if (known !== undefined) return known
    const page = this.#fetchPage(ref, signal)
    page.catch(() => {})
    this.#pages.set(ref.pageIndex, page)
    for (const old of this.#pages.keys()) {
      if (this.#pages.size <= KEPT_PAGES) break
      this.#pages.delete(old)
    }
    return page
  }

  async #fetchPage(ref: PageRef, signal: AbortSignal): Promise<Page> {
    const [page] = await this.#repository.getPages([ref], { signal })
    const { diskSize, blockSize } = this.#geometry
    if (page?.blockCount !== blocksInPage(diskSize, blockSize, ref.pageIndex)) {
      throw new RepositoryError('MAP_DAMAGED', `page ${ref.pageIndex} does not have as many blocks as the disk`)
    }
    return page
  }
}

function damaged(extent: { offset: number; length: number }, { code, message }: RepositoryError): DamagedRange {
  return { ...extent, code, message }
}
