import type { Catalog } from '@varve/catalog-client'
import type { CatalogMethod } from '@varve/catalog-client/protocol'
import { asCatalogError } from '../database.ts'
import { fullImage, MiB, result } from '../testing/catalog-fixture.ts'
import { type Answer, type Call, isDamaged } from './run-model.ts'

export type Methods = Pick<Catalog, CatalogMethod>

/** Make a call of the real catalog; its answer as the model words it. */
export async function makeCall(methods: Methods, call: Call): Promise<Answer> {
  try {
    return await answerOf(methods, call)
  } catch (error) {
    const { code } = asCatalogError(error)
    return code === 'CATALOG_UNREACHABLE' ? 'unknown' : code
  }
}

async function answerOf(methods: Methods, call: Call): Promise<Answer> {
  switch (call.call) {
    case 'createBackup':
      return `ok ${(await methods.createBackup(call.vm, {}, call.key)).id}`
    case 'createRestore':
      return `ok ${(await methods.createRestore(call.point, { target: call.target, onDamage: 'continue' }, call.key)).id}`
    case 'failRun':
      await methods.failRun(call.run, { code: call.code, message: 'as the test wishes', retryable: false })
      return 'ok'
    case 'recordResources':
      await methods.recordResources(call.run, call.resources, call.seenLease === undefined ? undefined : { leaseId: call.seenLease })
      return 'ok'
    case 'recordSnapshot': {
      const { snapshotId, checkpointId } = call
      await methods.recordSnapshot(call.run, { checkpointId, config: { cpu: 1 }, ...(snapshotId === undefined ? {} : { snapshotId }) })
      return 'ok'
    }
    case 'addImages': {
      const kind = call.parent === null ? ('full' as const) : ('incremental' as const)
      const reason = call.parent === null ? ('first' as const) : null
      const images = call.disks.map(disk => ({ ...fullImage(disk), kind, reason, parentImageId: call.parent }))
      await methods.addImages(call.run, images, call.snapshotId)
      return 'ok'
    }
    case 'addRanges': {
      const ranges = call.ranges.map(({ index, bytes }) => {
        const extents = [{ offset: index * 256 * MiB, length: bytes }]
        return { imageId: call.image, index, firstPage: index, pageCount: 1, extents, bytes }
      })
      await methods.addRanges(call.run, ranges, call.snapshotId)
      return 'ok'
    }
    case 'planned':
      await methods.planned(call.run, call.plan)
      return 'ok'
    case 'dropPlan':
      await methods.dropPlan(call.run, call.snapshotId)
      return 'ok'
    case 'takeRange':
      return `ok ${(await methods.takeRange(call.rangeId, call.worker)).attemptId}`
    case 'completeRange':
      return `ok ${(await methods.completeRange(call.rangeId, call.attempt, reportOf(call.attempt, call.report))).accepted}`
    case 'progressRange':
      return `ok ${(await methods.progressRange(call.rangeId, call.attempt, { read: 1, written: 1 })).next}`
    case 'endAttempt':
      await methods.endAttempt(call.attempt, call.end)
      return 'ok'
    case 'seal': {
      const images = call.images.map(imageId => ({ imageId, rootKey: `images/${imageId}.root`, merkleRoot: 'ab', cbt: true }))
      const createdAt = '2026-01-02T03:04:05.000Z'
      await methods.seal(call.run, {
        restorePointId: call.point,
        createdAt,
        manifestKey: 'points/p.json',
        parentId: call.parentPoint,
        images,
      })
      return 'ok'
    }
    default:
      await methods[call.call](call.run)
      return 'ok'
  }
}

/** The report of that number by an attempt: the same one is the same report. Its figures tell it from the others. */
function reportOf(attempt: string, report: number): ReturnType<typeof result> {
  return result(attempt, {
    read: report,
    written: report * 10,
    unchanged: report * 100,
    zero: report * 1000,
    damage: isDamaged(report) ? [{ offset: 0, length: 512, code: 'BLOCK_DAMAGED' }] : [],
  })
}
