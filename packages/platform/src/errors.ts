import { type ErrorTable, VarveError } from '@varve/errors'

export const PLATFORM_ERRORS = {
  PLATFORM_UNREACHABLE: {
    retryable: true,
    status: 503,
    help: 'The platform did not answer, or answered with a fault of its own, several times in a row. Check its address, the network and its health.',
  },
  PLATFORM_TLS_UNTRUSTED: {
    retryable: false,
    status: 502,
    help: "The platform's certificate is not trusted. Give its CA certificate with the platform's settings, or correct the host name.",
  },
  PLATFORM_AUTH_FAILED: {
    retryable: false,
    status: 502,
    help: 'The platform refuses the credentials, or the account lacks a right. Check them, and that its policy is made from the "Agentless Backup Template".',
  },
  PLATFORM_THROTTLED: {
    retryable: true,
    status: 503,
    help: 'The platform kept answering that there are too many calls. It is tried again later.',
  },
  PLATFORM_REFUSED: { retryable: false, status: 502, help: 'The platform refused the call; the message says why.' },
  PLATFORM_ANSWER_INVALID: {
    retryable: false,
    status: 502,
    help: 'An answer of the platform lacks a field, has one of a wrong type, or is too large. It may be of a version that is not supported.',
  },
  VM_NOT_FOUND: { retryable: false, status: 404, help: 'The platform has no VM of this id.' },
  VM_BUSY: { retryable: true, status: 409, help: 'Another operation of the platform is in progress on the VM. It is tried again later.' },
  VM_NOT_OFF: { retryable: false, status: 409, help: 'The VM must be powered off for this.' },
  SNAPSHOT_NOT_FOUND: { retryable: false, status: 404, help: 'The VM has no snapshot of this id any more.' },
  TASK_FAILED: { retryable: true, status: 502, help: 'A task of the platform failed; the message carries its text.' },
  TASK_TIMEOUT: { retryable: true, status: 504, help: 'A task of the platform made no progress for too long. It may still end by itself.' },
  LEASE_OCCUPIED: {
    retryable: true,
    status: 409,
    help: 'Another backup job, of this or another application, or of the platform itself, holds the VM. It is tried again later.',
  },
  LEASE_LOST: {
    retryable: true,
    status: 409,
    help: 'The lease on the VM expired, was taken away or is gone. A backup takes it again by itself while its snapshot is there and nobody else holds the VM; else start the run anew.',
  },
  CBT_EXPIRED: {
    retryable: false,
    status: 409,
    help: 'The change tracking does not reach back to the last backup: the disk is backed up in full, tracking may need a reset.',
  },
  CBT_DISABLED: { retryable: false, status: 409, help: 'Change tracking is off for the VM or the disk: only full backups are possible.' },
  CBT_ANSWER_INVALID: {
    retryable: false,
    status: 502,
    help: 'The platform answered changed areas that overlap, go backwards, pass the end of the disk or never end. They are not used.',
  },
} as const satisfies ErrorTable

export type PlatformErrorCode = keyof typeof PLATFORM_ERRORS

export class PlatformError extends VarveError<PlatformErrorCode> {
  override readonly name = 'PlatformError'
  protected override readonly table = PLATFORM_ERRORS
}
