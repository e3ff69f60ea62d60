/** What a check found: something owned by nobody (`leak`), an invariant that does not hold (`broken`), or what a person should know (`note`). */
export type FindingKind = 'leak' | 'broken' | 'note'

export interface FindingFacts {
  readonly kind: FindingKind
  /** Number of the invariant of DESIGN.md that it is about; null: of none. */
  readonly invariant: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | null
  /**
   * May a check take it away? `yes`: whenever it sweeps. `asked`: only when a person asked for the sweep, the check before found it too, it is old, and no manifest
   * of the repository leads to it. `no`: never.
   */
  readonly swept: 'yes' | 'asked' | 'no'
  /** What it means, and what to do. */
  readonly help: string
}

/** Every finding that a check can make. docs/checks.md is made from it. */
export const FINDING_CODES = {
  'snapshot-of-ended-run': {
    kind: 'leak',
    invariant: 7,
    swept: 'yes',
    help: 'A VM has a snapshot with the name of a run that has ended. It costs the VM space and speed until it is deleted.',
  },
  'snapshot-of-unknown-run': {
    kind: 'note',
    invariant: 7,
    swept: 'no',
    help: 'A VM has a snapshot with the name of a run that this catalog does not know: another Varve may be using it. Delete it on the platform when none is.',
  },
  'vm-of-failed-restore': {
    kind: 'leak',
    invariant: 7,
    swept: 'yes',
    help: 'A VM was made for a restore that did not succeed; its disks are half written. It is deleted only while it is off, and within an hour of the end of the restore; later somebody may have used it: delete it on the platform if nobody did.',
  },
  'second-vm-of-restore': {
    kind: 'leak',
    invariant: 7,
    swept: 'no',
    help: 'A VM that is off has the name and the description that a restore gave to the VM it made, and is another than that. A worker that was killed then had it made a second time, and it is empty; or somebody renamed the restored VM and gave its name to a copy. Look at it, then delete it on the platform.',
  },
  'vm-of-unknown-run': {
    kind: 'note',
    invariant: 7,
    swept: 'no',
    help: 'The description of a VM says that it was made for a restore that this catalog does not know. It may be that of another Varve, or older than the catalog.',
  },
  'lease-of-ended-run': {
    kind: 'leak',
    invariant: 7,
    swept: 'yes',
    help: 'A lease of a run that has ended is still alive on the platform: its VM is locked until the lease runs out.',
  },
  'object-of-ended-attempt': {
    kind: 'leak',
    invariant: 7,
    swept: 'yes',
    help: 'A pack or map of a try at a range whose report was not, and never will be, accepted: the range was done by another one, or the run is over.',
  },
  'object-of-unknown-owner': {
    kind: 'leak',
    invariant: 7,
    swept: 'asked',
    help: 'A pack or map that no try at a range of this catalog wrote. It may belong to restore points of an older catalog, or to a run of another one, so it is looked at twice, and 30 days old, before it goes.',
  },
  'root-of-failed-run': {
    kind: 'leak',
    invariant: 7,
    swept: 'yes',
    help: 'The root of an image whose run ended without a restore point.',
  },
  'root-of-unknown-owner': {
    kind: 'leak',
    invariant: 7,
    swept: 'asked',
    help: 'A root of an image that this catalog does not know. It may belong to restore points of an older catalog, or to a run of another one, so it is looked at twice, and 30 days old, before it goes.',
  },
  'manifest-of-failed-run': {
    kind: 'note',
    invariant: 8,
    swept: 'no',
    help: 'The manifest of a backup that, as the catalog knows it, ended without a restore point. Either the backup was killed just before its seal, or the catalog was put back to an earlier state and has lost the seal; then later points may stand on it. It is kept with all that it may need; `varve extract` reads it. Delete the manifest by hand if it is not wanted: the next sweep takes the rest.',
  },
  'key-unknown': {
    kind: 'leak',
    invariant: 7,
    swept: 'no',
    help: 'An object under a prefix of Varve whose key Varve does not make. Somebody else put it there; look at it, then delete it by hand.',
  },
  'key-of-others': {
    kind: 'note',
    invariant: null,
    swept: 'no',
    help: 'An object in the place of the repository that is not one of Varve. It does no harm.',
  },
  'unfinished-upload': {
    kind: 'leak',
    invariant: 7,
    swept: 'asked',
    help: 'A multipart upload that was begun under the prefix of the repository and never ended. Varve makes none; its parts cost space.',
  },
  'temporary-file': {
    kind: 'leak',
    invariant: 7,
    swept: 'yes',
    help: 'A file that a process of Varve was writing a day ago when it was killed.',
  },
  'pack-missing': {
    kind: 'broken',
    invariant: 1,
    swept: 'no',
    help: 'Restore points name blocks in a pack that is gone. Their blocks there cannot be restored; the next full backup stores them again.',
  },
  'pack-too-short': {
    kind: 'broken',
    invariant: 1,
    swept: 'no',
    help: 'Restore points name blocks behind the end of a pack. Those blocks cannot be restored; the next full backup stores them again.',
  },
  'map-missing': {
    kind: 'broken',
    invariant: 1,
    swept: 'no',
    help: 'A map that holds pages of restore points is gone. The next incremental of the VM reads those parts of the disk again.',
  },
  'map-damaged': {
    kind: 'broken',
    invariant: 1,
    swept: 'no',
    help: 'A map does not hold a page as it was written. The next incremental of the VM reads that part of the disk again.',
  },
  'root-missing': {
    kind: 'broken',
    invariant: 2,
    swept: 'no',
    help: 'The root of a disk of a restore point is gone: that disk cannot be restored from this point. The next backup of the disk is a full.',
  },
  'root-damaged': {
    kind: 'broken',
    invariant: 2,
    swept: 'no',
    help: 'The root of a disk of a restore point cannot be read. The next backup of the disk is a full.',
  },
  'root-differs': {
    kind: 'broken',
    invariant: 2,
    swept: 'no',
    help: 'The root of a disk says something else than the catalog: another Merkle root, disk size, block size or image.',
  },
  'point-incomplete': {
    kind: 'broken',
    invariant: 2,
    swept: 'no',
    help: 'A sealed restore point lacks images, or does not belong to a backup that succeeded. This is a fault in Varve.',
  },
  'parent-not-sealed': {
    kind: 'broken',
    invariant: 2,
    swept: 'no',
    help: 'An incremental image stands on an image of no sealed point, of another VM or disk, or of another point than its own point names. This is a fault in Varve.',
  },
  'manifest-missing': {
    kind: 'broken',
    invariant: 3,
    swept: 'no',
    help: 'A sealed restore point has no manifest in the repository: a catalog made from the repository would not know it.',
  },
  'since-not-of-parent': {
    kind: 'broken',
    invariant: 4,
    swept: 'no',
    help: 'An incremental was asked for since another checkpoint than that of its parent. Blocks may be missing from it. This is a fault in Varve; make a full backup.',
  },
  'full-without-reason': {
    kind: 'broken',
    invariant: 5,
    swept: 'no',
    help: 'A full image has no reason code. This is a fault in Varve.',
  },
  'run-silent': {
    kind: 'broken',
    invariant: 6,
    swept: 'no',
    help: 'A run under way gives no sign of life, and no job of it waits: no reconciler of a catalog looks after it. Restart the catalog.',
  },
  'manifest-damaged': {
    kind: 'broken',
    invariant: 8,
    swept: 'no',
    help: 'The manifest of a sealed restore point cannot be read: a catalog made from the repository would not know the point.',
  },
  'manifest-differs': {
    kind: 'broken',
    invariant: 8,
    swept: 'no',
    help: 'The manifest of a sealed restore point says something else than the catalog; the message says what.',
  },
  'point-of-unknown-run': {
    kind: 'note',
    invariant: 8,
    swept: 'no',
    help: 'The repository has a restore point that this catalog does not: of an older or another catalog. It may be the only copy; `varve extract` reads it.',
  },
  'platform-not-looked-at': {
    kind: 'note',
    invariant: null,
    swept: 'no',
    help: 'A platform, or a VM on it, could not be asked: whether something was left there is not known.',
  },
} as const satisfies Readonly<Record<string, FindingFacts>>

export type FindingCode = keyof typeof FINDING_CODES
