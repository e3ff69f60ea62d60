export { follows, NO_CHECKPOINT, sameGeneration } from './checkpoint.ts'
export { DEFAULT_RATE, DEFAULT_RATIO, DEFAULT_STEP_SECONDS, type PastRun, predictSeconds, storedRatio } from './cost/past-runs.ts'
export { BASES, type Basis, type PredictedDisk, type Prediction, predictionOf, withPreview } from './cost/prediction.ts'
export { PRICE_MAX, type Price, type Prices, priceOf } from './cost/prices.ts'
export { countBackupRequests, type RangeVolume, type RequestCount } from './cost/requests.ts'
export { PLANNING_ERRORS, PlanningError } from './errors.ts'
export {
  afterNoAnswer,
  chooseKind,
  type FullChoice,
  fullBecause,
  isAnother,
  isParentMaterial,
  type KindChoice,
  type KindQuestion,
  type NoAnswer,
  type ParentImage,
} from './kind.ts'
export { planRanges, planWholeDisk } from './plan-ranges.ts'
export { planRestore, type StoredPage } from './plan-restore.ts'
export type { PlannedRange } from './range-builder.ts'
export { DEFAULT_LIMITS, type DiskGeometry, type RangeLimits } from './range-limits.ts'
export { FULL_REASONS, type FullReason } from './reasons.ts'
