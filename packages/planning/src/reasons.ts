/** Why an image is a full and not an incremental. Shown to users; never invent a silent one. */
export const FULL_REASONS = {
  first: 'The first backup of this disk.',
  requested: 'A full was asked for.',
  'cbt-off': 'Changed block tracking is off for this disk; the whole disk is read.',
  'cbt-enabled-now': 'Changed block tracking was turned on by this run; there is no earlier checkpoint.',
  'cbt-expired': 'The platform says that its tracking has expired; it was reset.',
  'cbt-invalid': 'The platform gave a changed-areas answer that cannot be true.',
  'disk-new': 'The disk was not part of the parent restore point.',
  'disk-resized': 'The disk changed its size since the parent restore point.',
  'disk-replaced': 'Another disk is in the place of the one of the parent restore point.',
  'parent-missing': 'The parent restore point has no usable block map in the repository.',
  'checkpoint-missing': 'The parent restore point has no checkpoint id for this disk.',
  'block-size-changed': 'The repository uses another block size than the parent.',
} as const

export type FullReason = keyof typeof FULL_REASONS
