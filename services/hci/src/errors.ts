import { type ErrorTable, VarveError } from '@varve/errors'

/** What the platform's face answers besides the datastore's own errors. `status` is the HTTP status of the error envelope. */
export const HCI_ERRORS = {
  AUTH_REQUIRED: {
    retryable: false,
    status: 401,
    help: 'The call carries no usable Authorization header: log in and send the token, or sign with AK/SK.',
  },
  AUTH_FAILED: { retryable: false, status: 401, help: 'Wrong user name, password, access key or signature.' },
  TOKEN_EXPIRED: { retryable: false, status: 401, help: 'The token is unknown or too old: log in again.' },
  KEY_CALLS_LIMITED: { retryable: true, status: 403, help: 'Too many public-key calls in a minute; wait one minute.' },
  THROTTLED: { retryable: true, status: 429, help: 'Too many calls in a minute; wait as Retry-After says.' },
  REQUEST_INVALID: { retryable: false, status: 400, help: 'The request has a wrong field, type or range; the message names it.' },
  BODY_TOO_LARGE: { retryable: false, status: 413, help: 'The request body is larger than the platform takes.' },
  ROUTE_NOT_FOUND: { retryable: false, status: 404, help: 'No such call on this platform.' },
  VM_BUSY: { retryable: true, status: 409, help: 'Another operation on the VM is in progress; wait for its task.' },
  VM_NOT_OFF: { retryable: false, status: 409, help: 'The operation needs the VM to be powered off.' },
  VM_STATE_INVALID: { retryable: false, status: 409, help: 'The VM is not in a state that allows the operation.' },
  VM_LEASED: { retryable: true, status: 409, help: 'A backup resource locks the VM; release it first.' },
  VM_HAS_SNAPSHOTS: { retryable: false, status: 409, help: 'The disk can not be resized while the VM has snapshots.' },
  VM_CONFIG_INVALID: { retryable: false, status: 400, help: 'The VM configuration can not be used; the message names the field.' },
  DISK_SIZE_INVALID: { retryable: false, status: 400, help: 'A disk must be a multiple of 512 bytes within the platform limits.' },
  DISK_NOT_FOUND: { retryable: false, status: 404, help: 'The VM has no disk of that id.' },
  NAME_TAKEN: { retryable: false, status: 409, help: 'The name is in use.' },
  SNAPSHOT_NOT_FOUND: { retryable: false, status: 404, help: 'The VM has no snapshot of that id.' },
  SNAPSHOT_IN_USE: { retryable: true, status: 409, help: 'A backup resource reads the snapshot; release it first.' },
  SNAPSHOT_PROTECTED: { retryable: false, status: 409, help: 'The snapshot is protected against deletion.' },
  CBT_EXPIRED: { retryable: false, status: 409, help: 'What changed is not known any more. Reset CBT and take a full backup.' },
  LEASE_OCCUPIED: { retryable: true, status: 409, help: 'Another backup resource holds the VM (status occupied).' },
  LEASE_NOT_FOUND: { retryable: false, status: 404, help: 'No such backup resource, or it has ended.' },
  TASK_NOT_FOUND: { retryable: false, status: 404, help: 'No such task.' },
  RESOURCE_NOT_FOUND: { retryable: false, status: 404, help: 'No such host, cluster, resource pool or datastore.' },
  IMPORT_FAILED: { retryable: false, status: 400, help: 'The image can not be imported; the message says why.' },
  QEMU_IMG_MISSING: { retryable: false, status: 400, help: 'Importing qcow2 needs the qemu-img program (package qemu-utils).' },
  SOCKET_PATH_TOO_LONG: {
    retryable: false,
    help: 'A unix socket path holds 107 bytes at most: choose a shorter data folder or set the guest socket.',
  },
  FAULT_INJECTED: { retryable: true, status: 500, help: 'A scripted fault answered instead of the platform.' },
} as const satisfies ErrorTable

export type HciErrorCode = keyof typeof HCI_ERRORS

export class HciError extends VarveError<HciErrorCode> {
  override readonly name = 'HciError'
  protected override readonly table: ErrorTable = HCI_ERRORS
}
