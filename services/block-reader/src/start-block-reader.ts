import { type RangeWorkerDeps, startRangeWorker } from '@varve/range-worker'
import { workerFile } from '@varve/runtime'
import { readRange } from './read-range.ts'

/** Read ranges until closed. Closes none of its dependencies. */
export function startBlockReaderService(deps: RangeWorkerDeps): Promise<{ close(): Promise<void> }> {
  const laneFile = workerFile(import.meta.url, './lane.js')
  return startRangeWorker({ ...readRange, name: 'read-range', side: 'source', laneFile }, deps)
}
