/**
 * Called at each boundary between two durable steps of a fold, snapshot, merge, revert or change of CBT. Tests kill the
 * process there; otherwise it does nothing.
 */
export type Step = (name: StepName) => void

export const STEP_NAMES = [
  'vm-commit',
  'snapshot-prepared',
  'snapshot-bitmap-frozen',
  'snapshot-bitmap-fresh',
  'snapshot-committed',
  'snapshot-folded',
  'fold-opened',
  'fold-entry',
  'fold-page',
  'fold-closed',
  'merge-marked',
  'merge-copied',
  'merge-synced',
  'merge-cleared',
  'merge-drained',
  'merge-committed',
  'cbt-built',
  'cbt-committed',
  'cbt-renamed',
  'revert-prepared',
  'revert-committed',
] as const

export type StepName = (typeof STEP_NAMES)[number]

export const noStep: Step = () => {}
