import { checkpointId, splitCheckpoint } from '@varve/cbt'
import type { ChangedAreas } from './datastore.ts'
import { cbtExpired, DatastoreError } from './errors.ts'
import { fold } from './take-snapshot.ts'
import type { Vm } from './vm.ts'

export interface ChangedAreasQuery {
  readonly vmId: string
  readonly diskId: string
  readonly snapshotId: string
  /** 0n = allocated. */
  readonly checkpointId: bigint
  /** Bytes. */
  readonly startOffset: number
  readonly maxAreas: number
}

/**
 * What changed on a disk between a checkpoint and a snapshot, from the CBT file alone. Never less than the truth: where
 * the file can't know, CBT_EXPIRED (scp-platform.md §4: then reset and a full backup).
 */
export async function changedAreas(vm: Vm, query: ChangedAreasQuery): Promise<ChangedAreas> {
  const context = { vmId: query.vmId, diskId: query.diskId, snapshotId: query.snapshotId, checkpointId: String(query.checkpointId) }
  const snapshot = vm.snapshot(query.snapshotId)
  const size = snapshot.disks.find(disk => disk.id === query.diskId)?.size
  if (size === undefined) throw new DatastoreError('DISK_NOT_FOUND', 'the snapshot has no such disk', context)
  const { cbt, cbtExpired: expired, trackingId } = vm.diskState(query.diskId)
  if (!cbt) throw new DatastoreError('CBT_DISABLED', 'CBT is off for this disk', context)
  const { tracker } = vm.disk(query.diskId)
  if (expired || tracker === undefined || tracker.expired) throw cbtExpired(context)
  if (!Number.isSafeInteger(query.startOffset) || query.startOffset < 0) {
    throw new DatastoreError('RANGE_INVALID', 'the start offset is not a position on the disk', context)
  }
  if (query.startOffset >= size) return { areas: [], startOffset: query.startOffset, length: 0 }

  await fold(vm, tracker)
  const result = await tracker.busy.run(async () => {
    if (tracker.expired || tracker.cbt === undefined) throw cbtExpired(context)
    try {
      const header = tracker.cbt.refresh()
      if (header.trackingId !== trackingId || header.diskSize !== size)
        throw new DatastoreError('CBT_EXPIRED', 'a CBT file of another disk')
      const since = sinceInc(query.checkpointId, BigInt(snapshot.checkpointId), header, context)
      return await tracker.cbt.changed(since, query.startOffset, query.maxAreas)
    } catch (error) {
      if (error instanceof DatastoreError) throw error
      tracker.expire(error)
      throw cbtExpired(context, { cause: error })
    }
  })
  const areas = result.areas.map(({ offset, length }) => ({ start: offset, length }))
  return { areas, startOffset: query.startOffset, length: result.length }
}

/** The inc_id above which a version number means "changed since the checkpoint". */
function sinceInc(
  asked: bigint,
  snapshotId: bigint,
  header: { readonly versionId: number; readonly incId: number; readonly baseInc: number; readonly expired: boolean },
  context: Record<string, unknown>,
): number {
  if (header.expired) throw cbtExpired(context)
  if (snapshotId === 0n) throw new DatastoreError('CBT_DISABLED', 'CBT was off when the snapshot was taken', context)
  const snapshot = splitCheckpoint(snapshotId)
  if (snapshot.versionId !== header.versionId) throw cbtExpired(context)
  if (snapshot.incId < header.baseInc) {
    throw new DatastoreError('CBT_DISABLED', 'CBT was off for this disk when the snapshot was taken', context)
  }
  if (asked === 0n) return 0
  const since = splitCheckpoint(asked)
  if (since.versionId !== header.versionId || since.incId < header.baseInc || since.incId > header.incId) {
    throw cbtExpired({ ...context, newest: String(checkpointId(header)) })
  }
  // The way back from a later checkpoint to an earlier snapshot is in no file.
  if (since.incId > snapshot.incId) throw new DatastoreError('CHECKPOINT_UNKNOWN', 'the checkpoint is later than the snapshot', context)
  return since.incId
}
