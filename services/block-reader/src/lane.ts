import { PageArena } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import { serveLane } from '@varve/range-worker/lane'
import { copyRange } from './copy-range.ts'
import { spanBuffers } from './read-ahead.ts'
import type { ReadTask } from './read-range.ts'

const buffers = spanBuffers()
const arena = new PageArena()
serveLane<ReadTask, RangeResult>((task, { disk, ...deps }) => copyRange(task, { source: disk, buffers, arena, ...deps }))
