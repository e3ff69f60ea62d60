import { BlockMapError } from './errors.ts'

/**
 * A disk is cut into blocks, blocks are grouped into pages:
 *
 *     disk    0 ............................................ diskSize
 *     blocks  [0][1][2]...            [1023][1024]...        [last, may be short]
 *     pages   [------- page 0 -------------][--- page 1 ---...          ]
 */

/** Bytes of a block unless the repository says otherwise. 256 KiB: ~44 B of map per block is 0.02 % of the data. */
export const DEFAULT_BLOCK_SIZE = 256 * 1024
export const MIN_BLOCK_SIZE = 64 * 1024
export const MAX_BLOCK_SIZE = 4 * 1024 * 1024

/** Blocks of a page: 256 MiB of disk at the default block size. */
export const PAGE_BLOCKS = 1024

/** 8 PiB: what `number` holds exactly. */
export const MAX_DISK_SIZE = Number.MAX_SAFE_INTEGER

/** Is it a power of two from 64 KiB to 4 MiB? */
export function isBlockSize(blockSize: number): boolean {
  return Number.isInteger(blockSize) && blockSize >= MIN_BLOCK_SIZE && blockSize <= MAX_BLOCK_SIZE && (blockSize & (blockSize - 1)) === 0
}

/** @throws BlockMapError GEOMETRY_INVALID */
export function checkGeometry(diskSize: number, blockSize: number): void {
  if (!isBlockSize(blockSize))
    throw new BlockMapError('GEOMETRY_INVALID', `block size ${blockSize} is not a power of two from 64 KiB to 4 MiB`)
  if (!Number.isSafeInteger(diskSize) || diskSize < 0) throw new BlockMapError('GEOMETRY_INVALID', `disk size ${diskSize} is not valid`)
}

/** Blocks of a disk; the last one may be short. */
export function blockCount(diskSize: number, blockSize: number): number {
  return Math.ceil(diskSize / blockSize)
}

/** Pages of a disk; the last one may hold fewer blocks. */
export function pageCount(diskSize: number, blockSize: number): number {
  return Math.ceil(diskSize / pageBytes(blockSize))
}

/** Blocks in one page: 1024, fewer in the last, 0 past the end. */
export function blocksInPage(diskSize: number, blockSize: number, pageIndex: number): number {
  return Math.max(0, Math.min(PAGE_BLOCKS, blockCount(diskSize, blockSize) - pageIndex * PAGE_BLOCKS))
}

/** Bytes of disk that a whole page covers. */
export function pageBytes(blockSize: number): number {
  return PAGE_BLOCKS * blockSize
}

/** Bytes of one block, by its index in the disk: the block size, less for the last block, 0 past the end. */
export function blockLength(diskSize: number, blockSize: number, blockIndex: number): number {
  return Math.max(0, Math.min(blockSize, diskSize - blockIndex * blockSize))
}
