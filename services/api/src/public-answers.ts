import type { Image, RestorePoint, Run, RunTotals, Vm } from '@varve/catalog-client'
import { actualAnswer, predictionAnswer } from './cost-answers.ts'
import type { Progress } from './progress.ts'
import { reasonText } from './reason-text.ts'
import type { PointAnswer } from './schemas/point.ts'
import type { RunAnswer } from './schemas/run.ts'
import type { VmAnswer } from './schemas/vm.ts'

/*
 * What the catalog says, as the public API says it: field by field, so that nothing leaves that is not named here, and with what a
 * person needs beside the codes.
 */

export function runAnswer(run: Run, progress: Progress, help: string | null): RunAnswer {
  return {
    id: run.id,
    kind: run.kind,
    vmId: run.vmId,
    vmName: run.vmName,
    platformId: run.platformId,
    state: run.state,
    paused: run.paused,
    priority: run.priority,
    outcome: run.outcome,
    reason: run.reason,
    message: run.message,
    help,
    options: { ...run.options },
    totals: totals(run.totals),
    bottleneck: run.bottleneck,
    progress,
    createdAt: run.createdAt,
    startedAt: run.startedAt,
    plannedAt: run.plannedAt,
    copiedAt: run.copiedAt,
    endedAt: run.endedAt,
    restorePointId: run.restorePointId,
    targetPlatformVmId: run.targetPlatformVmId,
    images: run.images.map(imageAnswer),
    notes: [...run.notes],
    prediction: predictionAnswer(run),
    actual: actualAnswer(run),
  }
}

function imageAnswer(image: Image): RunAnswer['images'][number] {
  return {
    id: image.id,
    diskId: image.diskId,
    diskSize: image.diskSize,
    blockSize: image.blockSize,
    kind: image.kind,
    reason: image.reason,
    reasonText: reasonText(image.reason),
    parentImageId: image.parentImageId,
    totals: totals(image.totals),
  }
}

function totals({ planned, read, written, unchanged, zero, rangesTotal, rangesDone }: RunTotals): RunAnswer['totals'] {
  return { planned, read, written, unchanged, zero, rangesTotal, rangesDone }
}

export function vmAnswer(vm: Vm): VmAnswer {
  return {
    id: vm.id,
    platformId: vm.platformId,
    platformVmId: vm.platformVmId,
    name: vm.name,
    power: vm.power,
    exclusions: [...vm.exclusions],
    disks: vm.disks.map(({ diskId, size, excluded }) => ({ diskId, size, ...(excluded === undefined ? {} : { excluded }) })),
    seenAt: vm.seenAt,
    lastPoint: vm.lastPoint === null ? null : { id: vm.lastPoint.id, createdAt: vm.lastPoint.createdAt },
    points: vm.points,
  }
}

export function pointAnswer(point: RestorePoint): PointAnswer {
  return {
    id: point.id,
    vmId: point.vmId,
    vmName: point.vmName,
    runId: point.runId,
    createdAt: point.createdAt,
    checkpointId: point.checkpointId,
    parentId: point.parentId,
    chainId: point.chainId,
    images: point.images.map(image => ({
      imageId: image.imageId,
      diskId: image.diskId,
      diskSize: image.diskSize,
      blockSize: image.blockSize,
      kind: image.kind,
      reason: image.reason,
      reasonText: reasonText(image.reason),
      read: image.read,
      stored: image.stored,
      cbt: image.cbt,
    })),
    stored: point.stored,
  }
}
