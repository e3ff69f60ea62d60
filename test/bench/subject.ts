import type { Parts } from './parts.ts'
import type { Samples } from './samples.ts'
import type { TargetRow } from './targets.ts'

/** Something that is measured, by the name that `--only` takes. */
export interface Subject {
  readonly name: string
  /** What the table of `--help` says. */
  readonly about: string
  /** Other subjects must have run in the same round. */
  readonly after?: readonly string[]
  /** At most so many rounds: what is no matter of chance is not measured again. */
  readonly rounds?: number
  /** The same at `--quick`, of what takes long to start or runs for a fixed time. */
  readonly quickRounds?: number
  /**
   * Make ready, and give what one round does: each of its variants once, one after the other.
   *
   * @throws Skip
   */
  open(parts: Parts): Promise<(round: number) => Promise<void>>
  /** From whatever was measured. */
  targets(samples: Samples, context: { readonly allocated: number }): TargetRow[]
}
