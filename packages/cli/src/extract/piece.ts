import { blockLength, PAGE_BLOCKS, type PageRef } from '@varve/block-map'

/** Blocks of one page that are fetched together: 64 MiB of disk at the default block size. */
export const PIECE_BLOCKS = 256

/** A part of one page: what a thread is given to do. */
export interface Piece {
  readonly ref: PageRef
  /** First entry of the page, and how many. */
  readonly first: number
  readonly count: number
}

/** Bytes of the disk that could not be read back, and why. */
export interface DamagedRange {
  readonly offset: number
  readonly length: number
  readonly code: string
  readonly message: string
}

export interface PieceResult {
  /** Bytes of the disk given to `write`, and bytes of packs fetched for them. */
  readonly bytes: number
  readonly stored: number
  readonly packs: readonly string[]
  /** By offset. */
  readonly damage: readonly DamagedRange[]
}

export interface DiskGeometry {
  readonly diskSize: number
  readonly blockSize: number
}

/** Where a piece lies on its disk; the last piece of a disk ends with it. */
export function pieceExtent({ ref, first, count }: Piece, { diskSize, blockSize }: DiskGeometry): { offset: number; length: number } {
  const offset = (ref.pageIndex * PAGE_BLOCKS + first) * blockSize
  return { offset, length: Math.max(0, Math.min(count * blockSize, diskSize - offset)) }
}

/** Where a block lies on its disk. */
export function blockExtent(pageIndex: number, entry: number, { diskSize, blockSize }: DiskGeometry): { offset: number; length: number } {
  const index = pageIndex * PAGE_BLOCKS + entry
  return { offset: index * blockSize, length: blockLength(diskSize, blockSize, index) }
}

/** Neighbours with the same code as one range; `ranges` in any order. Pure. */
export function mergeDamage(ranges: readonly DamagedRange[]): DamagedRange[] {
  const merged: DamagedRange[] = []
  for (const range of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const last = merged.at(-1)
    if (last !== undefined && last.code === range.code && last.offset + last.length === range.offset) {
      merged[merged.length - 1] = { ...last, length: last.length + range.length }
    } else merged.push(range)
  }
  return merged
}
