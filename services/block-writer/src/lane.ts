import type { RangeResult } from '@varve/catalog-client'
import { serveLane } from '@varve/range-worker/lane'
import { restoreRange } from './restore-range.ts'
import { writeBuffers } from './write-behind.ts'
import type { RestoreTask } from './write-range.ts'

const buffers = writeBuffers()
serveLane<RestoreTask, RangeResult>((task, { disk, ...deps }) => restoreRange(task, { target: disk, buffers, ...deps }))
