import { blocksInPage, type PageRef, type PageRefs } from '@varve/block-map'
import { type DiskGeometry, PIECE_BLOCKS, type Piece } from './piece.ts'

/**
 * Deals the pieces of a disk out to lanes. A lane goes on with the page it has begun, so that a page is fetched once, and helps with
 * another's only when no page is left that nobody has begun.
 */
export class PieceFeed {
  readonly #geometry: DiskGeometry
  readonly #refs: PageRefs
  #nextPage = 0
  readonly #begun = new Map<unknown, Piece[]>()

  constructor(refs: PageRefs, geometry: DiskGeometry) {
    this.#refs = refs
    this.#geometry = geometry
  }

  next(lane: unknown): Piece | undefined {
    const own = this.#begun.get(lane)?.shift()
    if (own !== undefined) return own
    const ref = this.#refs.at(this.#nextPage++)
    if (ref !== undefined) {
      const pieces = piecesOf(ref, this.#geometry)
      this.#begun.set(lane, pieces)
      return pieces.shift()
    }
    const longest = [...this.#begun.values()].toSorted((a, b) => b.length - a.length)[0]
    return longest?.pop()
  }
}

export function piecesOf(ref: PageRef, { diskSize, blockSize }: DiskGeometry): Piece[] {
  const blocks = blocksInPage(diskSize, blockSize, ref.pageIndex)
  const pieces: Piece[] = []
  for (let first = 0; first < blocks; first += PIECE_BLOCKS) pieces.push({ ref, first, count: Math.min(PIECE_BLOCKS, blocks - first) })
  return pieces
}
