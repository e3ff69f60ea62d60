export { FULL_REASONS, type FullReason } from './reasons.ts'
