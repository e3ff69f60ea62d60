import type { Basis } from './prediction.ts'

/** A run that succeeded, as far as the next one can be told from it. */
export interface PastRun {
  readonly vmId: string
  readonly read: number
  /** Of the copying, from the plan to the last range. */
  readonly copySeconds: number
  /** Of all else: preparing, sealing, cleaning up. */
  readonly stepSeconds: number
  readonly disks: readonly {
    readonly diskId: string
    readonly kind: 'full' | 'incremental'
    readonly read: number
    readonly stored: number
  }[]
}

/** Runs that an estimate is made from, at most. */
const NEAREST = 3
const NEWEST = 5

/** Without any past run: copying at this rate, and steps that take so long. Two cores over loopback do 200 MiB/s; a network and a busy store less. */
export const DEFAULT_RATE = 100 * 1024 * 1024
export const DEFAULT_STEP_SECONDS = 3

/** Nothing is known of how a disk compresses: taken as stored as it is read, so that the estimate is never too low. */
export const DEFAULT_RATIO = 1

/**
 * How long a run takes that reads so many bytes. Out of the past runs of its VM (else of any) the three whose sizes are nearest: the steps of each as long as they
 * were, its copying stretched to the new size, of the three the middle. A night's incrementals and a full now and then tell nothing about each other.
 *
 * @param past newest first
 */
export function predictSeconds(read: number, vmId: string, past: readonly PastRun[]): { readonly seconds: number; readonly basis: Basis } {
  const own = past.filter(run => run.vmId === vmId)
  const [from, runs] = own.length > 0 ? (['vm', own] as const) : (['platform', past] as const)
  // A stable sort: of equal sizes the newest.
  const nearest = [...runs].sort((a, b) => distance(a.read, read) - distance(b.read, read)).slice(0, NEAREST)
  if (nearest.length === 0) return { seconds: DEFAULT_STEP_SECONDS + read / DEFAULT_RATE, basis: { from: 'default', runs: 0 } }
  const times = nearest.map(run => run.stepSeconds + (run.read === 0 ? read / DEFAULT_RATE : (run.copySeconds * read) / run.read))
  return { seconds: median(times), basis: { from, runs: nearest.length } }
}

/** In powers of two. */
function distance(a: number, b: number): number {
  return Math.abs(Math.log2(a + 1) - Math.log2(b + 1))
}

/**
 * Bytes stored for each byte read: of the newest backups of this disk of the same kind (a full is another matter than an incremental), else of the VM's disks, else of
 * any on the platform.
 *
 * @param past newest first
 */
export function storedRatio(
  disk: { readonly vmId: string; readonly diskId: string; readonly kind: 'full' | 'incremental' },
  past: readonly PastRun[],
): { readonly ratio: number; readonly basis: Basis } {
  const images = past
    .flatMap(({ vmId, disks }) => disks.map(image => ({ vmId, ...image })))
    .filter(({ kind, read }) => kind === disk.kind && read > 0)
  const ofVm = images.filter(({ vmId }) => vmId === disk.vmId)
  const ofDisk = ofVm.filter(({ diskId }) => diskId === disk.diskId)
  for (const [from, all] of [['disk', ofDisk] as const, ['vm', ofVm] as const, ['platform', images] as const]) {
    const newest = all.slice(0, NEWEST)
    if (newest.length === 0) continue
    const [read, stored] = [newest.reduce((sum, image) => sum + image.read, 0), newest.reduce((sum, image) => sum + image.stored, 0)]
    return { ratio: stored / read, basis: { from, runs: newest.length } }
  }
  return { ratio: DEFAULT_RATIO, basis: { from: 'default', runs: 0 } }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
