export { type Extent, mergeExtents, totalLength } from './extent.ts'
