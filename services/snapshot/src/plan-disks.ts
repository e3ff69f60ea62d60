import { CatalogError, type Image, type RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import {
  afterNoAnswer,
  chooseKind,
  type FullReason,
  fullBecause,
  type KindChoice,
  NO_CHECKPOINT,
  type NoAnswer,
  planRanges,
  planWholeDisk,
  type RangeLimits,
} from '@varve/planning'
import type { PlatformDriver, PlatformSnapshot } from '@varve/platform'
import type { Logger } from '@varve/runtime'
import type { Tracking } from './disk-tracking.ts'
import type { Parent } from './parent-images.ts'
import { RangeSpool } from './range-spool.ts'
import { isAfterReset } from './run-snapshot.ts'
import type { SnapshotDisk } from './usable-disks.ts'

/** How one disk is backed up, and the ranges of it, ready to be stored. */
export interface DiskPlan {
  readonly diskId: string
  readonly diskSize: number
  readonly choice: KindChoice
  readonly ranges: RangeSpool
}

export interface PlanContext {
  /** Read after the snapshot was recorded: its images, if any, are of a plan made from the same. */
  readonly run: RunForWork
  readonly snapshot: PlatformSnapshot
  readonly disks: readonly SnapshotDisk[]
  readonly tracking: ReadonlyMap<string, Tracking>
  readonly parent: Parent | null
  readonly blockSize: number
  readonly requested: boolean
  /** A preview: nothing is changed on the platform for it, tracking stays as it is. */
  readonly lookOnly?: boolean
  readonly limits?: RangeLimits | undefined
  readonly platform: PlatformDriver
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Thrown when only a reset of tracking and a new snapshot help. */
export class ResetNeeded extends Error {}

/**
 * One plan for each disk, in order. The caller closes their spools.
 *
 * @throws ResetNeeded; CatalogError PLAN_CHANGED when the plan that an earlier attempt stored in part can't be made again.
 */
export async function planDisks(context: PlanContext): Promise<DiskPlan[]> {
  const plans: DiskPlan[] = []
  try {
    for (const disk of context.disks) plans.push(await planDisk(disk, context))
    return plans
  } catch (error) {
    await closePlans(plans)
    throw error
  }
}

export async function closePlans(plans: readonly DiskPlan[]): Promise<void> {
  await Promise.all(plans.map(plan => plan.ranges.close()))
}

async function planDisk(disk: SnapshotDisk, context: PlanContext): Promise<DiskPlan> {
  const { id: diskId, size: diskSize } = disk
  const { run, log } = context
  const stored = run.images.find(image => image.diskId === diskId)
  let choice = stored === undefined ? choose(disk, context) : choiceOf(stored)
  // Before anything of this plan is stored: the next backup turns it on again, which starts from what the new disk holds.
  if (stored === undefined && choice.reason === 'disk-replaced' && !context.lookOnly) await stopTracking(diskId, context)
  for (;;) {
    try {
      const ranges = await RangeSpool.fill(rangesFor(choice, diskId, diskSize, context), { diskSize, blockSize: context.blockSize })
      log.info(
        { runId: run.id, diskId, kind: choice.kind, reason: choice.reason, ranges: ranges.ranges, bytes: ranges.bytes },
        'disk planned',
      )
      return { diskId, diskSize, choice, ranges }
    } catch (error) {
      if (!hasCode(error, 'CBT_EXPIRED', 'CBT_ANSWER_INVALID', 'CBT_DISABLED')) throw error
      log.warn({ runId: run.id, diskId, err: error }, 'no usable changed areas')
      // An earlier attempt may have stored part of this plan: it is that plan or an altogether new one.
      if (stored !== undefined) {
        throw new CatalogError('PLAN_CHANGED', `disk ${diskId} cannot be planned as before`, { diskId }, { cause: error })
      }
      choice = otherChoice(choice, error.code as NoAnswer, context)
    }
  }
}

/** A tracking that went on when the disk was replaced knows only what was written since. */
async function stopTracking(diskId: string, { run, platform, log, signal }: PlanContext): Promise<void> {
  log.warn({ runId: run.id, diskId }, 'another disk in its place: tracking is started anew')
  await platform.setCbt(run.platformVmId, 'disable', [diskId], signal)
}

function choose({ id: diskId, size: diskSize, identity }: SnapshotDisk, context: PlanContext): KindChoice {
  const { parent, snapshot, blockSize, requested, lookOnly } = context
  const tracking = context.tracking.get(diskId) ?? 'off'
  // The run would turn it on before its snapshot, which then has a checkpoint; as it is, there is nothing to ask.
  const toCome = lookOnly && tracking === 'enabled-now'
  const choice = chooseKind({
    diskSize,
    identity,
    blockSize,
    tracking,
    checkpoint: toCome ? CHECKPOINT_TO_COME : snapshot.checkpointId,
    requested,
    parent: parent && { checkpoint: parent.checkpoint, image: parent.images.get(diskId) ?? null },
  })
  return toCome && choice.kind === 'full' ? { ...choice, since: null } : choice
}

/** Any but none: with tracking that is only just on every choice is a full. */
const CHECKPOINT_TO_COME = 1n

/** The choice that an earlier attempt of this run stored. */
function choiceOf({ parentImageId, reason, since: stored }: Image): KindChoice {
  const since = stored === null || stored === undefined ? null : BigInt(stored)
  if (parentImageId !== null && since !== null) return { kind: 'incremental', reason: null, since, parentImageId }
  return { ...fullBecause(reason as FullReason), since }
}

function otherChoice(choice: KindChoice, answer: NoAnswer, { run, snapshot, lookOnly }: PlanContext): KindChoice {
  const next = afterNoAnswer(choice, answer)
  if (next !== 'reset') return next
  if (!lookOnly && !isAfterReset(run, snapshot)) throw new ResetNeeded()
  // A reset did not help: the disk is read without asking.
  return { ...fullBecause('cbt-expired'), since: null }
}

function rangesFor(
  choice: KindChoice,
  diskId: string,
  diskSize: number,
  { snapshot, blockSize, limits, platform, run, signal }: PlanContext,
) {
  const geometry = { diskSize, blockSize }
  if (choice.since === null) return planWholeDisk(geometry, limits)
  // Nothing can have changed between a checkpoint and itself, but only the platform knows; it is asked.
  const since = choice.kind === 'full' ? NO_CHECKPOINT : choice.since
  const query = { vmId: run.platformVmId, diskId, snapshotId: snapshot.id, since, diskSize }
  return planRanges(platform.changedAreas(query, signal), geometry, limits)
}
