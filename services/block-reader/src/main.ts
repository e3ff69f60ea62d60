import { runRangeWorker } from '@varve/range-worker'
import { loadBlockReaderConfig } from './config.ts'
import { startBlockReaderService } from './start-block-reader.ts'

await runRangeWorker('block-reader', () => loadBlockReaderConfig(process.env), startBlockReaderService)
