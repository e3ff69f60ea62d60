import { follows, NO_CHECKPOINT } from './checkpoint.ts'
import type { FullReason } from './reasons.ts'

/** The disk's image in the newest sealed restore point of its VM. */
export interface ParentImage {
  readonly imageId: string
  readonly diskSize: number
  readonly blockSize: number
  /** Does a checkpoint of this disk belong to that point? */
  readonly cbt: boolean
  /** Of the very disk, as the platform told it then; absent: it told none. */
  readonly identity?: string | undefined
  /** Can its root be read from the repository? */
  readonly usable: boolean
}

export interface KindQuestion {
  readonly diskSize: number
  /** Of the very disk, as the platform tells it now; absent: it tells none. */
  readonly identity?: string | undefined
  /** Of the repository. */
  readonly blockSize: number
  /** `on`: was on before this run; `enabled-now`: turned on by this run; `off`: off, and stays off. */
  readonly tracking: 'on' | 'enabled-now' | 'off'
  /** Of the snapshot; 0n when the platform gave none. */
  readonly checkpoint: bigint
  /** Was a full asked for? */
  readonly requested: boolean
  /** null when the VM has no sealed restore point. */
  readonly parent: {
    readonly checkpoint: bigint
    /** null when the disk is not part of that point. */
    readonly image: ParentImage | null
  } | null
}

/** How one disk is backed up. */
export type KindChoice =
  | { readonly kind: 'incremental'; readonly reason: null; readonly since: bigint; readonly parentImageId: string }
  | FullChoice

export interface FullChoice {
  readonly kind: 'full'
  readonly reason: FullReason
  /** Ask for what is allocated (0n), or don't ask and read the whole disk (null). */
  readonly since: bigint | null
  readonly parentImageId: null
}

/**
 * Full or incremental, and why: the only place where it is decided before the platform is asked. What the platform then
 * answers may still turn an incremental into a full (`fullBecause`). An incremental starts at the checkpoint of the last sealed
 * point and nowhere else (invariant 4); every doubt is a full with its reason (invariant 5).
 */
export function chooseKind(question: KindQuestion): KindChoice {
  const { parent, tracking, checkpoint } = question
  // First what decides how the disk is read: without tracking all else is beside the point.
  if (tracking === 'off') return fullBecause('cbt-off')
  if (checkpoint === NO_CHECKPOINT) return fullBecause('cbt-invalid')
  if (parent === null) return fullBecause('first')
  if (question.requested) return fullBecause('requested')
  const image = parent.image
  if (image === null) return fullBecause('disk-new')
  if (tracking === 'enabled-now') return fullBecause('cbt-enabled-now')
  if (isAnother(image.identity, question.identity)) return fullBecause('disk-replaced')
  if (image.diskSize !== question.diskSize) return fullBecause('disk-resized')
  if (image.blockSize !== question.blockSize) return fullBecause('block-size-changed')
  if (!image.cbt || parent.checkpoint === NO_CHECKPOINT) return fullBecause('checkpoint-missing')
  if (!image.usable) return fullBecause('parent-missing')
  if (!follows(parent.checkpoint, checkpoint)) return fullBecause('cbt-expired')
  return { kind: 'incremental', reason: null, since: parent.checkpoint, parentImageId: image.imageId }
}

/** Two disks, as far as the platform tells both; one that is not told may be the same. */
export function isAnother(before: string | undefined, now: string | undefined): boolean {
  return before !== undefined && now !== undefined && before !== now
}

/** A full for this reason, and how it is read: from what is allocated, or whole where tracking is off or not to be believed. */
export function fullBecause(reason: FullReason): FullChoice {
  const since = WITHOUT_ASKING.has(reason) ? null : NO_CHECKPOINT
  return { kind: 'full', reason, since, parentImageId: null }
}

/** Tracking of a disk that was put in another's place may know nothing of what it brought along. */
const WITHOUT_ASKING: ReadonlySet<FullReason> = new Set(['cbt-off', 'cbt-invalid', 'disk-replaced'])

/** What the platform said instead of changed areas; the codes of its driver's errors. */
export type NoAnswer = 'CBT_EXPIRED' | 'CBT_ANSWER_INVALID' | 'CBT_DISABLED'

/**
 * What to do when the platform has no usable answer for this choice: another choice, or `reset` when not even "what is
 * allocated" can be had, so that only a reset of tracking and a new snapshot help.
 */
export function afterNoAnswer(choice: KindChoice, answer: NoAnswer): FullChoice | 'reset' {
  if (answer === 'CBT_DISABLED') return fullBecause('cbt-off')
  if (answer === 'CBT_ANSWER_INVALID') return fullBecause('cbt-invalid')
  return choice.kind === 'incremental' ? fullBecause('cbt-expired') : 'reset'
}

/**
 * Does the snapshot's checkpoint belong to the image, so that the next backup may be an incremental? Not when tracking was off or gave no
 * answer to be believed (`since` null: the disk was read without asking); in all other cases it does, whatever made this one a full.
 */
export function isParentMaterial(checkpoint: bigint, since: bigint | null): boolean {
  return since !== null && checkpoint !== NO_CHECKPOINT
}
