export { BLOCK_WRITER_ERRORS, BlockWriterError, type BlockWriterErrorCode } from './errors.ts'
export { restoreRange, type WriteDeps, type WriteTask } from './restore-range.ts'
export { startBlockWriterService } from './start-block-writer.ts'
