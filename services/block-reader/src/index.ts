export { type CopyDeps, type CopyTask, copyRange } from './copy-range.ts'
export { BLOCK_READER_ERRORS, BlockReaderError, type BlockReaderErrorCode } from './errors.ts'
export { startBlockReaderService } from './start-block-reader.ts'
