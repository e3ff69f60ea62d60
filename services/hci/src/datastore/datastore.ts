import type { NbdBackend } from '@varve/nbd'

/** What the datastore keeps of a VM, committed atomically in `<vm>/vm.json`. `config` belongs to the API layer and is opaque here. */
export interface VmRecord {
  readonly id: string
  readonly name: string
  readonly power: 'on' | 'off'
  readonly createdAt: string
  readonly config: Readonly<Record<string, unknown>>
  readonly disks: readonly DiskRecord[]
  /** Oldest first; the last one is the parent of the live disks. */
  readonly snapshots: readonly SnapshotRecord[]
}

export interface DiskRecord {
  readonly id: string
  /** Bytes, a multiple of 512. */
  readonly size: number
  readonly cbt: boolean
  /** Tracking is on but its answers can't be used until a reset. */
  readonly cbtExpired: boolean
}

export interface SnapshotRecord {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly createdAt: string
  /** `(version_id << 32) | inc_id`, decimal text; '0' when no disk had CBT on. */
  readonly checkpointId: string
  /** The VM's configuration at that instant. */
  readonly config: Readonly<Record<string, unknown>>
  readonly disks: readonly { readonly id: string; readonly size: number; readonly serial?: string }[]
  /** Milliseconds that writes were held for it. */
  readonly pauseMs: number
  /** It is being merged (or the merge was cut off and waits for the next deleteSnapshot): its disks can't be opened any more. */
  readonly deleting: boolean
}

export interface ChangedAreas {
  readonly areas: readonly { readonly start: number; readonly length: number }[]
  /** The window this answer covers. */
  readonly startOffset: number
  readonly length: number
}

/**
 * The datastore: disks, layers, snapshots, merges and CBT of all VMs under one folder, owned by one process (lock file).
 * After kill -9 at any point `open` repairs: an unfinished fold or merge is finished or taken up again.
 * Errors are DatastoreErrors: VM_NOT_FOUND, DISK_NOT_FOUND, SNAPSHOT_NOT_FOUND, NAME_TAKEN, DISK_SIZE_INVALID, VM_NOT_OFF, CBT_EXPIRED
 * ("The VM CBT has expired. Please reset it."), CBT_DISABLED, CHECKPOINT_UNKNOWN, DATASTORE_LOCKED, DATASTORE_FULL, DATASTORE_DAMAGED.
 */
export interface Datastore {
  listVms(): readonly VmRecord[]
  getVm(vmId: string): VmRecord
  createVm(vm: {
    readonly id?: string
    readonly name: string
    readonly config: Readonly<Record<string, unknown>>
    readonly disks: readonly { readonly id: string; readonly size: number }[]
  }): Promise<VmRecord>
  updateVm(
    vmId: string,
    change: { readonly name?: string; readonly config?: Readonly<Record<string, unknown>>; readonly power?: 'on' | 'off' },
  ): Promise<VmRecord>
  deleteVm(vmId: string): Promise<void>
  addDisk(vmId: string, disk: { readonly id: string; readonly size: number }): Promise<VmRecord>
  /** Expires the CBT of the disk. Grows or shrinks; refused while snapshots exist. */
  resizeDisk(vmId: string, diskId: string, size: number): Promise<VmRecord>

  /** Another, empty disk in the place of one, with the tracking of that one going on: what a platform does that tracks by slot. Refused while snapshots exist. */
  replaceDisk(vmId: string, diskId: string): Promise<VmRecord>

  /** All disks at the same instant. Resolves when the fold is done and the checkpoint is usable. */
  createSnapshot(vmId: string, snapshot: { readonly name: string; readonly description?: string }): Promise<SnapshotRecord>
  /** Merge the snapshot's successor layer down while the guest writes on. Repeatable; resolves when merged. */
  deleteSnapshot(
    vmId: string,
    snapshotId: string,
    options?: { readonly signal?: AbortSignal; readonly onProgress?: (fraction: number) => void },
  ): Promise<void>
  /** VM must be off. Expires the CBT of all disks. */
  revertSnapshot(vmId: string, snapshotId: string): Promise<void>

  setCbt(vmId: string, change: 'enable' | 'disable' | 'reset', diskIds?: readonly string[]): Promise<void>
  /** From the CBT file only. `checkpointId` 0n = allocated. At most `maxAreas` merged extents, from `startOffset` on. */
  changedAreas(query: {
    readonly vmId: string
    readonly diskId: string
    readonly snapshotId: string
    readonly checkpointId: bigint
    readonly startOffset: number
    readonly maxAreas: number
  }): Promise<ChangedAreas>

  /** The live disk, read-write, tracked. */
  openDisk(vmId: string, diskId: string): Promise<NbdBackend>
  /** The disk as it was at the snapshot, read-only. */
  openSnapshotDisk(vmId: string, snapshotId: string, diskId: string): Promise<NbdBackend>

  close(): Promise<void>
}
