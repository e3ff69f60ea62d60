import { FULL_REASONS, type FullReason } from '@varve/planning'

/** Why a disk was read in full, as a sentence for people. */
export function reasonText(reason: FullReason | null): string | null {
  return reason === null ? null : FULL_REASONS[reason]
}
