export type LeaseType = 'backup' | 'restore'
/** Enum of SCP's backup resources. `occupied` and `cancelled` are never answered here: a second lease is refused when it is created. */
export type LeaseStatus = 'pending' | 'running' | 'expired' | 'occupied' | 'cancelled' | 'released' | 'failed'

/** A backup resource: it locks one VM, gives access to its data, and ends unless renewed. */
export interface Lease {
  readonly id: string
  readonly vmId: string
  readonly type: LeaseType
  /** First part of its NBD export names: 32 random bytes, base64url. */
  readonly secret: string
  readonly status: LeaseStatus
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** Snapshots that were opened under it; they can't be deleted meanwhile. */
  readonly snapshotsRead: readonly string[]
}

/** Whole seconds until it ends, rounded up; 0 when it has ended. */
export function remainSeconds(lease: Lease, now: number): number {
  return lease.status === 'running' ? Math.max(0, Math.ceil((lease.expiresAt - now) / 1000)) : 0
}

/** A lease from a file, checked field by field; `undefined` when it is not one. */
export function leaseFrom(value: unknown): Lease | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { id, vmId, type, secret, status, expiresAt, snapshotsRead } = value as Record<string, unknown>
  if (typeof id !== 'string' || typeof vmId !== 'string' || typeof secret !== 'string' || secret.length < 43) return undefined
  if ((type !== 'backup' && type !== 'restore') || status !== 'running' || typeof expiresAt !== 'number') return undefined
  if (!Array.isArray(snapshotsRead) || !snapshotsRead.every(s => typeof s === 'string')) return undefined
  return { id, vmId, type, secret, status, expiresAt, snapshotsRead }
}
