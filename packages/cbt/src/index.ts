export { AreaCollector } from './areas.ts'
export { blockRuns } from './block-runs.ts'
export {
  CBT_HEADER_SIZE,
  CBT_PAGE_SIZE,
  type CbtHeader,
  cbtFileSize,
  cbtPageCount,
  cbtPageOffset,
  cbtTableSize,
  DATA_CRC_NOT_SET,
  decodeCbtHeader,
  encodeCbtHeader,
  entryOf,
  type PageEntry,
  pageMatches,
  raiseVersions,
  readPageEntry,
  readVersion,
  TABLE_ENTRY_SIZE,
  VERSIONS_PER_PAGE,
  writePageEntry,
} from './cbt-file.ts'
export { type Checkpoint, checkpointId, formatCheckpoint, MAX_U32, parseCheckpoint, splitCheckpoint } from './checkpoint.ts'
export { CBT_ERRORS, CbtError } from './errors.ts'
export { type Extent, mergeExtents, totalLength } from './extent.ts'
export { GRANULARITY, granuleCount, isDiskSize, MAX_DISK_SIZE } from './granule.ts'
export {
  decodeMapHeader,
  decodeWords,
  encodeMapHeader,
  encodeWords,
  MAP_FILE_PAGE,
  type MapFileHeader,
  type MapKind,
  mapPageOffset,
  PAGES_PER_GROUP,
  summaryOffset,
} from './map-file.ts'
export { PageCache } from './page-cache.ts'
export { PagedMap, type PageStore, type Run, WORDS_PER_PAGE } from './paged-map.ts'
