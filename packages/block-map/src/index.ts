export { diffBlocks, diffPages } from './diff.ts'
export { BLOCK_MAP_ERRORS, BlockMapError, type BlockMapErrorCode } from './errors.ts'
export {
  blockCount,
  blockLength,
  blocksInPage,
  checkGeometry,
  DEFAULT_BLOCK_SIZE,
  isBlockSize,
  MAX_BLOCK_SIZE,
  MIN_BLOCK_SIZE,
  PAGE_BLOCKS,
  pageBytes,
  pageCount,
} from './geometry.ts'
export { type BlockEntry, type BlockLocation, CODECS, type Codec, isCodec } from './location.ts'
export { Page } from './page.ts'
export { PageArena } from './page-arena.ts'
export { MAX_PAGE_LENGTH } from './page-codec.ts'
export { isTombstone, PAGE_REF_LENGTH, type PageRef, tombstone } from './page-ref.ts'
export { decodePageRefs, encodePageRefs, type PageRange, PageRefs } from './page-refs.ts'
export { decodeRoot, encodeRoot, merkleRoot, type Root, replacePages } from './root.ts'
export { type DiskExtent, touchedPages } from './touched-pages.ts'
