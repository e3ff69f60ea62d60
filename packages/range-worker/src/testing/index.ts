export { type CutRange, cutRange } from './cut-range.ts'
export { type At, Cut, CutAt, type WatchOptions, watchEffects } from './effects.ts'
export { type LaneWorld, startLaneWorld } from './lane-world.ts'
export { OneRange } from './range-world.ts'
