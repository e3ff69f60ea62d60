import { runRangeWorker } from '@varve/range-worker'
import { loadBlockWriterConfig } from './config.ts'
import { startBlockWriterService } from './start-block-writer.ts'

await runRangeWorker('block-writer', () => loadBlockWriterConfig(process.env), startBlockWriterService)
