export { type CopyDeps, type CopyProgress, type CopyTask, copyRange } from './copy-range.ts'
export { BLOCK_READER_ERRORS, BlockReaderError, type BlockReaderErrorCode } from './errors.ts'
export { type BlockReaderServiceDeps, startBlockReaderService } from './start-block-reader.ts'
