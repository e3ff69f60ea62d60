export { follows, NO_CHECKPOINT, sameGeneration } from './checkpoint.ts'
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
