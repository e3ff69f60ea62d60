export { DiskAddresses, type DiskSide } from './disk-addresses.ts'
export { endOrRetry, type FailedJob, type IsPassing } from './end-or-retry.ts'
export { RANGE_WORKER_ERRORS, RangeWorkerError, type RangeWorkerErrorCode } from './errors.ts'
export { LaneError, type LaneSettings, type LaneTask, type RangeProgress } from './lane-messages.ts'
export { type LaneCall, LanePool } from './lane-pool.ts'
export { OpenExports } from './open-exports.ts'
export {
  openParts,
  openRepositoryAt,
  openRepositoryParts,
  REPOSITORY_NEEDS,
  type RepositoryParts,
  WORKER_NEEDS,
  type WorkerParts,
} from './open-parts.ts'
export { type OpenPlatform, Platforms } from './platforms.ts'
export { RangeMetrics, type RangeOutcome } from './range-metrics.ts'
export { runRangeWorker } from './run-range-worker.ts'
export {
  LANE_SETTINGS,
  type LaneConfig,
  laneOptionsOf,
  REPOSITORY_SETTINGS,
  type RepositoryConfig,
  S3_SETTINGS,
  type S3Config,
  storeSettingsOf,
  WORKER_SETTINGS,
  type WorkerConfig,
} from './settings.ts'
export { type RangeJob, type RangeWorkerDeps, startRangeWorker } from './start-range-worker.ts'
export { Throttle } from './throttle.ts'
export { type AttemptedRange, isPassingForRange, type RangeDeps, type RangeWork, workOnRange } from './work-on-range.ts'
