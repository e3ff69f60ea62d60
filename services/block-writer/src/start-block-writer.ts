import { type RangeWorkerDeps, startRangeWorker } from '@varve/range-worker'
import { workerFile } from '@varve/runtime'
import { writeRange } from './write-range.ts'

/** Write ranges until closed. Closes none of its dependencies. */
export function startBlockWriterService(deps: RangeWorkerDeps): Promise<{ close(): Promise<void> }> {
  const laneFile = workerFile(import.meta.url, './lane.js')
  return startRangeWorker({ ...writeRange, name: 'write-range', side: 'target', laneFile }, deps)
}
