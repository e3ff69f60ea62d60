import { type ErrorTable, VarveError } from '@varve/errors'

export const DATASTORE_ERRORS = {
  VM_NOT_FOUND: { retryable: false, status: 404, help: 'No VM has this id.' },
  DISK_NOT_FOUND: { retryable: false, status: 404, help: 'The VM (or the snapshot) has no disk with this id.' },
  SNAPSHOT_NOT_FOUND: { retryable: false, status: 404, help: 'The VM has no such snapshot, or it is being deleted.' },
  NAME_TAKEN: { retryable: false, status: 409, help: 'Another VM, disk or snapshot has this id or name already.' },
  ID_INVALID: {
    retryable: false,
    status: 400,
    help: 'Ids have letters, digits, dot, dash and underscore, and start with a letter or digit.',
  },
  DISK_SIZE_INVALID: { retryable: false, status: 400, help: 'A disk has a multiple of 512 bytes, more than 0 and at most 128 TiB.' },
  RANGE_INVALID: { retryable: false, status: 400, help: 'A request reaches past the end of the disk.' },
  READ_ONLY: { retryable: false, status: 403, help: 'A snapshot can not be written.' },
  VM_NOT_OFF: { retryable: false, status: 409, help: 'Switch the VM off first.' },
  HAS_SNAPSHOTS: { retryable: false, status: 409, help: 'Delete the snapshots of the VM first.' },
  CBT_EXPIRED: { retryable: false, status: 409, help: 'What changed is not known any more. Reset CBT and take a full backup.' },
  CBT_DISABLED: {
    retryable: false,
    status: 409,
    help: 'CBT is (or was, when the snapshot was taken) off for this disk. Enable it and take a full backup.',
  },
  CHECKPOINT_UNKNOWN: { retryable: false, status: 400, help: 'The checkpoint is later than the snapshot it is asked about.' },
  DATASTORE_LOCKED: { retryable: true, status: 409, help: 'Another process has the datastore open. Stop it, or use another folder.' },
  DATASTORE_FULL: {
    retryable: true,
    status: 507,
    help: 'The file system of the datastore is full. Free space; nothing acknowledged is lost.',
  },
  DATASTORE_DAMAGED: {
    retryable: false,
    status: 500,
    help: 'A file of the datastore can not be understood. Restore the VM from a backup.',
  },
  DATASTORE_CLOSED: { retryable: true, status: 503, help: 'The datastore, the VM or the disk was closed meanwhile.' },
} as const satisfies ErrorTable

export type DatastoreErrorCode = keyof typeof DATASTORE_ERRORS

/** What the datastore throws on purpose. */
export class DatastoreError extends VarveError<DatastoreErrorCode> {
  override readonly name = 'DatastoreError'
  protected override readonly table = DATASTORE_ERRORS
}

/** The platform's own words for it, which backup applications look for. */
export function cbtExpired(context: Record<string, unknown>, options?: ErrorOptions): DatastoreError {
  return new DatastoreError('CBT_EXPIRED', 'The VM CBT has expired. Please reset it.', context, options)
}

/** A full file system as DATASTORE_FULL; anything else as it is. */
export function fromSystem(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code === 'ENOSPC' || code === 'EDQUOT') return new DatastoreError('DATASTORE_FULL', 'the datastore is full', {}, { cause: error })
  return error
}
