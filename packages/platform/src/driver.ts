import type { Extent } from '@varve/cbt'

/** A VM as the platform lists it. `id` is the platform's own. */
export interface PlatformVm {
  readonly id: string
  readonly name: string
  readonly power: 'on' | 'off' | 'other'
  /** A task of the platform is under way on it: no backup may start. */
  readonly busy: boolean
  readonly disks: readonly PlatformDisk[]
  /** The host it is on, or was last; absent when not told. */
  readonly hostId?: string
  /**
   * Why the VM can't be backed up, empty when it can: `turbo`, `internal-snapshots`, `backup-proxy`, `desktop-revert`,
   * `vm-type`, `not-hci` (the vendor's rules), `answer-invalid` (the platform lists it in a way we don't understand).
   */
  readonly exclusions: readonly string[]
  /** Free text. A VM that a driver made carries the client token of its creation, see `carriesToken`. Absent when empty or not told. */
  readonly description?: string
}

export interface PlatformDisk {
  /** Slot-style: `virtio0`, `ide0`. */
  readonly id: string
  /** Bytes. */
  readonly size: number
  /** Empty when not told. */
  readonly datastoreId: string
  /** Why this disk is left out, absent when it is not: `shared`, `physical`, `rdm`. */
  readonly excluded?: string
}

/** The platform's record of a VM's configuration, kept whole and given back at a restore. Opaque to everyone but the driver. */
export type VmConfig = Readonly<Record<string, unknown>>

/** A slot's disk as a configuration names it. `identity`: of this very disk and no other in the same slot; absent where the platform tells none. */
export interface ConfiguredDisk {
  readonly id: string
  readonly identity?: string
}

export interface PlatformSnapshot {
  readonly id: string
  readonly name: string
  readonly createdAt: string
  /** 0n when CBT is off for the whole VM. */
  readonly checkpointId: bigint
  readonly config: VmConfig
  readonly disks: readonly { readonly id: string; readonly size: number; readonly identity?: string }[]
}

export interface CbtStatus {
  readonly enabled: boolean
  readonly disks: readonly { readonly id: string; readonly enabled: boolean }[]
}

export type LeaseType = 'backup' | 'restore'

export interface Lease {
  readonly id: string
  readonly vmId: string
  readonly status: 'pending' | 'running' | 'expired' | 'occupied' | 'cancelled' | 'released' | 'failed'
  /** Seconds until the platform takes it away. */
  readonly remainSeconds: number
}

/** Where one disk can be read or written over NBD. */
export interface DiskAddress {
  readonly host: string
  readonly port: number
  readonly exportName: string
  /** NBD over TLS: the authority that issued the server's certificate, PEM. Absent: plain text. */
  readonly tls?: { readonly ca: string }
}

/** How disk data travels, in the vendor's words: NBD in plain text or over TLS. */
export type NbdTransport = 'nbd' | 'nbd_ssl'

/**
 * One platform, as the backup application sees it. Each method waits for the platform's task to end and throws a
 * PlatformError: `PLATFORM_UNREACHABLE`, `PLATFORM_TLS_UNTRUSTED`, `PLATFORM_AUTH_FAILED`, `PLATFORM_THROTTLED`, `PLATFORM_REFUSED`,
 * `VM_NOT_FOUND`, `VM_BUSY` (another operation holds it: later),
 * `SNAPSHOT_NOT_FOUND`, `TASK_FAILED`, `TASK_TIMEOUT`, `LEASE_OCCUPIED`, `LEASE_LOST`, `CBT_EXPIRED`, `CBT_DISABLED`,
 * `CBT_ANSWER_INVALID`, `PLATFORM_ANSWER_INVALID`, `VM_NOT_OFF`. Every implementation passes the conformance suite in `@varve/platform/testing`.
 *
 * Deletes and releases of what is already gone succeed: callers repeat them after a crash.
 */
export interface PlatformDriver {
  /** Version text of the platform; proves address and credentials. */
  version(signal?: AbortSignal): Promise<string>

  /** Each VM once. What the list doesn't tell is left to `getVm`: with SCP the exclusion `internal-snapshots`. */
  listVms(signal?: AbortSignal): AsyncIterable<PlatformVm>
  getVm(vmId: string, signal?: AbortSignal): Promise<PlatformVm>

  cbtStatus(vmId: string, signal?: AbortSignal): Promise<CbtStatus>
  /** `reset` hits every disk of the VM that has CBT on. */
  setCbt(vmId: string, change: 'enable' | 'disable' | 'reset', diskIds?: readonly string[], signal?: AbortSignal): Promise<void>

  /** Idempotent by name: a snapshot of that name that exists already is returned. */
  createSnapshot(vmId: string, name: string, signal?: AbortSignal): Promise<PlatformSnapshot>
  /** Snapshots whose name starts with `prefix`. */
  listSnapshots(vmId: string, prefix: string, signal?: AbortSignal): Promise<readonly { id: string; name: string; createdAt: string }[]>
  getSnapshot(vmId: string, snapshotId: string, signal?: AbortSignal): Promise<PlatformSnapshot>
  deleteSnapshot(vmId: string, snapshotId: string, signal?: AbortSignal): Promise<void>
  /** The disks that a saved configuration names. */
  configuredDisks(config: VmConfig): readonly ConfiguredDisk[]

  /**
   * Extents that may differ between checkpoint `since` and the snapshot; `since` = 0n: what is allocated. Ascending, not
   * overlapping, inside the disk; page by page, never the whole disk at once. An answer that goes backwards, overlaps,
   * passes the end or makes no progress is CBT_ANSWER_INVALID.
   */
  changedAreas(
    query: { vmId: string; diskId: string; snapshotId: string; since: bigint; diskSize: number },
    signal?: AbortSignal,
  ): AsyncIterable<readonly Extent[]>

  /**
   * Under the same `clientToken` the same lease as long as it lives (for some minutes: SCP remembers tokens for 15), so that an attempt that
   * was killed before it could note the lease's id gets it back instead of LEASE_OCCUPIED.
   */
  createLease(vmId: string, type: LeaseType, seconds: number, signal?: AbortSignal, clientToken?: string): Promise<Lease>
  getLease(leaseId: string, signal?: AbortSignal): Promise<Lease>
  /** LEASE_LOST when it is gone. */
  renewLease(leaseId: string, seconds: number, signal?: AbortSignal): Promise<void>
  releaseLease(leaseId: string, signal?: AbortSignal): Promise<void>

  /** Address of a snapshot's disk under a backup lease (`snapshotId` given), or of the disk itself under a restore lease. */
  diskAddress(leaseId: string, diskId: string, snapshotId?: string, signal?: AbortSignal): Promise<DiskAddress>

  /**
   * A new VM, powered off, with empty disks as in the saved configuration. Idempotent by `clientToken` for some minutes (SCP: 15), also
   * while it is being made; after that the VM is known by its description (`carriesToken`).
   *
   * @param onAccepted gets the VM's id before the platform has made it, where the platform tells it then; waited for. What it throws is thrown.
   */
  createVm(
    config: VmConfig,
    name: string,
    clientToken: string,
    signal?: AbortSignal,
    onAccepted?: (vmId: string) => Promise<void> | void,
  ): Promise<string>
  /** Bring an existing VM's editable configuration back. Disks that are larger now stay as they are. */
  editVm(vmId: string, config: VmConfig, signal?: AbortSignal): Promise<void>
  power(vmId: string, state: 'on' | 'off', signal?: AbortSignal): Promise<void>
  deleteVm(vmId: string, signal?: AbortSignal): Promise<void>

  close(): Promise<void>
}

/** What opens a driver: one row of the catalog's `platforms`. */
export interface PlatformConnection {
  readonly id: string
  readonly kind: 'scp'
  /** `https://scp.example:4430` or `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly credentials:
    | { readonly username: string; readonly password: string }
    | { readonly accessKey: string; readonly secretKey: string }
  /** Absent: TLS where the platform offers it. `nbd_ssl` never goes back to plain text. */
  readonly transport?: NbdTransport | undefined
}
