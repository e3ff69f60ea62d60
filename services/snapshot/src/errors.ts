import { type ErrorTable, VarveError } from '@varve/errors'

export const SNAPSHOT_ERRORS = {
  CANCELLED: { retryable: false, status: 409, help: 'Somebody cancelled the run.' },
  VM_NOT_SUPPORTED: {
    retryable: false,
    status: 422,
    help: 'The platform cannot back this VM up without an agent: turbo mode, internal snapshots, a backup proxy, a desktop in revert mode, or a suspended VM. The message says which.',
  },
  NO_DISKS: {
    retryable: false,
    status: 422,
    help: 'The VM has no disk that can be backed up: none at all, or only shared, physical or raw-mapped ones.',
  },
  DISK_SIZE_INVALID: {
    retryable: false,
    status: 422,
    help: 'A disk has 0 bytes or a size that is not a multiple of 512 bytes. Correct it on the platform.',
  },
  POINT_INCOMPLETE: {
    retryable: false,
    help: 'A run was to be sealed that lacks its snapshot record or a page. This is a fault in Varve.',
  },
  STORE_LIED: {
    retryable: false,
    help: 'The repository accepted objects and does not give them back as they were written; the message names them. The run is not offered, earlier points are untouched. Check the store (its log, its disks, what stands in between) before the next backup, which reads the same changes again.',
  },
  TARGET_DISK_MISSING: {
    retryable: false,
    status: 422,
    help: 'The VM to restore to lacks a disk that the restore point has. Restore to a new VM.',
  },
  TARGET_DISK_SMALLER: {
    retryable: false,
    status: 422,
    help: 'A disk of the VM to restore to is smaller than in the restore point. Restore to a new VM.',
  },
} as const satisfies ErrorTable

export type SnapshotErrorCode = keyof typeof SNAPSHOT_ERRORS

export class SnapshotError extends VarveError<SnapshotErrorCode> {
  override readonly name = 'SnapshotError'
  protected override readonly table = SNAPSHOT_ERRORS
}
