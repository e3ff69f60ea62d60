export { type LaneWorld, startLaneWorld } from './lane-world.ts'
