import type { FullReason } from '../reasons.ts'

/** What a run is expected to read, store and take, known before its first byte travels. Sizes are bytes. */

/** Where an estimate comes from: past runs of this disk, of this VM, of its platform; or `default`, where there are none. */
export const BASES = ['disk', 'vm', 'platform', 'default'] as const
export interface Basis {
  readonly from: (typeof BASES)[number]
  /** How many past runs; 0 with `default`. */
  readonly runs: number
}

export interface PredictedDisk {
  readonly diskId: string
  readonly diskSize: number
  readonly kind: 'full' | 'incremental' | 'differential'
  /** Why a backup reads this disk in full. */
  readonly reason: FullReason | null
  /** Named by changed block tracking (backup), or to be written (restore). */
  readonly planned: number
  /** Over NBD (backup), or from the repository (restore). */
  readonly read: number
  /** Is `read` exact, as long as nothing is written meanwhile? Otherwise it is an upper bound (backup) or an estimate (restore). */
  readonly exact: boolean
  /** Into the repository; 0 in a restore. */
  readonly stored: number
  readonly storedBasis: Basis
  /** Requests to the repository. */
  readonly puts: number
  readonly gets: number
}

export interface Prediction {
  readonly of: 'backup' | 'restore'
  readonly disks: readonly PredictedDisk[]
  /** Sums over the disks, with what the run as a whole needs. */
  readonly planned: number
  readonly read: number
  readonly exact: boolean
  readonly stored: number
  readonly puts: number
  readonly gets: number
  /** From the start of the run to its end. */
  readonly seconds: number
  readonly secondsBasis: Basis
  /** The preview whose exact figures these are, because the run's plan is the same. */
  readonly previewId: string | null
}

/** Of the run as a whole: the manifest, written and read back. */
const MANIFEST = { puts: 1, gets: 1 }

export function predictionOf(
  of: Prediction['of'],
  disks: readonly PredictedDisk[],
  time: { readonly seconds: number; readonly basis: Basis },
): Prediction {
  const sum = (what: (disk: PredictedDisk) => number): number => disks.reduce((all, disk) => all + what(disk), 0)
  const whole = of === 'backup' ? MANIFEST : { puts: 0, gets: 0 }
  return {
    of,
    disks,
    planned: sum(disk => disk.planned),
    read: sum(disk => disk.read),
    exact: disks.every(disk => disk.exact),
    stored: sum(disk => disk.stored),
    puts: sum(disk => disk.puts) + whole.puts,
    gets: sum(disk => disk.gets) + whole.gets,
    seconds: time.seconds,
    secondsBasis: time.basis,
    previewId: null,
  }
}

/**
 * A run keeps what a preview found out, where its plan is the preview's: the same disks, kinds, and bytes named of each. The preview looked at what is
 * allocated, which a run has no time for.
 */
export function withPreview(
  prediction: Prediction,
  preview: { readonly id: string; readonly prediction: Prediction | null } | undefined,
): Prediction {
  const known = preview?.prediction
  if (preview === undefined || known === undefined || known === null || known.of !== prediction.of) return prediction
  if (known.disks.length !== prediction.disks.length || !known.disks.every((disk, i) => isSamePlan(disk, prediction.disks[i])))
    return prediction
  return { ...known, previewId: preview.id }
}

function isSamePlan(a: PredictedDisk, b: PredictedDisk | undefined): boolean {
  return b !== undefined && a.diskId === b.diskId && a.diskSize === b.diskSize && a.kind === b.kind && a.planned === b.planned
}
