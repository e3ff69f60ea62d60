import type { Image, RunForWork } from '@varve/catalog-client'
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
} from '@varve/planning'
import type { PlatformDriver, PlatformSnapshot } from '@varve/platform'
import type { Logger } from '@varve/runtime'
import type { Tracking } from './disk-tracking.ts'
import { hasCode, SnapshotError } from './errors.ts'
import type { Parent } from './parent-images.ts'
import { RangeSpool } from './range-spool.ts'
import { isAfterReset } from './run-snapshot.ts'

/** How one disk is backed up, and the ranges of it, ready to be stored. */
export interface DiskPlan {
  readonly diskId: string
  readonly diskSize: number
  readonly choice: KindChoice
  readonly ranges: RangeSpool
}

export interface PlanContext {
  readonly run: RunForWork
  readonly snapshot: PlatformSnapshot
  readonly diskIds: readonly string[]
  readonly tracking: ReadonlyMap<string, Tracking>
  readonly parent: Parent | null
  readonly blockSize: number
  readonly requested: boolean
  readonly platform: PlatformDriver
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Thrown when only a reset of tracking and a new snapshot help. */
export class ResetNeeded extends Error {}

/** One plan for each disk, in order. The caller closes their spools. @throws ResetNeeded */
export async function planDisks(context: PlanContext): Promise<DiskPlan[]> {
  const plans: DiskPlan[] = []
  try {
    for (const diskId of context.diskIds) plans.push(await planDisk(diskId, context))
    return plans
  } catch (error) {
    await closePlans(plans)
    throw error
  }
}

export async function closePlans(plans: readonly DiskPlan[]): Promise<void> {
  await Promise.all(plans.map(plan => plan.ranges.close()))
}

async function planDisk(diskId: string, context: PlanContext): Promise<DiskPlan> {
  const { run, snapshot, log } = context
  const diskSize = snapshot.disks.find(disk => disk.id === diskId)?.size
  if (diskSize === undefined) throw new SnapshotError('DISK_DETACHED', `disk ${diskId} is not part of the snapshot`, { diskId })
  const stored = run.images.find(image => image.diskId === diskId)
  let choice = stored === undefined ? choose(diskId, diskSize, context) : choiceOf(stored, context.parent)
  for (;;) {
    try {
      const ranges = await RangeSpool.fill(rangesFor(choice, diskId, diskSize, context))
      log.info(
        { runId: run.id, diskId, kind: choice.kind, reason: choice.reason, ranges: ranges.ranges, bytes: ranges.bytes },
        'disk planned',
      )
      return { diskId, diskSize, choice, ranges }
    } catch (error) {
      // An earlier attempt may have stored part of this plan: it is that plan or none.
      if (stored !== undefined || !hasCode(error, 'CBT_EXPIRED', 'CBT_ANSWER_INVALID', 'CBT_DISABLED')) throw error
      log.warn({ runId: run.id, diskId, err: error }, 'no usable changed areas')
      choice = otherChoice(choice, error.code as NoAnswer, context)
    }
  }
}

function choose(diskId: string, diskSize: number, context: PlanContext): KindChoice {
  const { parent, snapshot, blockSize, requested, tracking } = context
  return chooseKind({
    diskSize,
    blockSize,
    tracking: tracking.get(diskId) ?? 'off',
    checkpoint: snapshot.checkpointId,
    requested,
    parent: parent && { checkpoint: parent.checkpoint, image: parent.images.get(diskId) ?? null },
  })
}

/** The choice that an earlier attempt of this run stored. */
function choiceOf(image: Image, parent: Parent | null): KindChoice {
  if (image.parentImageId !== null && parent !== null) {
    return { kind: 'incremental', reason: null, since: parent.checkpoint, parentImageId: image.parentImageId }
  }
  return fullBecause(image.reason as FullReason)
}

function otherChoice(choice: KindChoice, answer: NoAnswer, { run, snapshot }: PlanContext): KindChoice {
  const next = afterNoAnswer(choice, answer)
  if (next !== 'reset') return next
  if (!isAfterReset(run, snapshot)) throw new ResetNeeded()
  // A reset did not help: the disk is read without asking.
  return { ...fullBecause('cbt-expired'), since: null }
}

function rangesFor(choice: KindChoice, diskId: string, diskSize: number, { snapshot, blockSize, platform, run, signal }: PlanContext) {
  const geometry = { diskSize, blockSize }
  if (choice.since === null) return planWholeDisk(geometry)
  // Nothing can have changed between a checkpoint and itself, but only the platform knows; it is asked.
  const since = choice.kind === 'full' ? NO_CHECKPOINT : choice.since
  const query = { vmId: run.platformVmId, diskId, snapshotId: snapshot.id, since, diskSize }
  return planRanges(platform.changedAreas(query, signal), geometry)
}
