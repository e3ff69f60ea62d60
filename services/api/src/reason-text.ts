import type { Image } from '@varve/catalog-client'

type FullReason = NonNullable<Image['reason']>

/** Why a disk was read in full, as a sentence for people. A reason code without a sentence does not compile. */
const REASON_TEXT: Readonly<Record<FullReason, string>> = {
  first: 'The first backup of this disk.',
  requested: 'A full was asked for.',
  'cbt-off': 'Changed block tracking is off for this disk; the whole disk is read.',
  'cbt-enabled-now': 'Changed block tracking was turned on by this run; there is no earlier checkpoint.',
  'cbt-expired': 'The platform says that its tracking has expired; it was reset.',
  'cbt-invalid': 'The platform gave a changed-areas answer that cannot be true.',
  'disk-new': 'The disk was not part of the parent restore point.',
  'disk-resized': 'The disk changed its size since the parent restore point.',
  'parent-missing': 'The parent restore point has no usable block map in the repository.',
  'checkpoint-missing': 'The parent restore point has no checkpoint id for this disk.',
  'block-size-changed': 'The repository uses another block size than the parent.',
}

export function reasonText(reason: Image['reason']): string | null {
  return reason === null ? null : REASON_TEXT[reason]
}
