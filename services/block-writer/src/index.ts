export { BLOCK_WRITER_ERRORS, BlockWriterError, type BlockWriterErrorCode } from './errors.ts'
export { restoreRange, type WriteDeps, type WriteProgress, type WriteTask } from './restore-range.ts'
export { type BlockWriterServiceDeps, startBlockWriterService } from './start-block-writer.ts'
