import { type DispatchInput, type RunUnderWay, WEIGHTS } from './dispatch-plan.ts'
import type { Usage } from './usage.ts'

export interface RangesToQueue {
  readonly imageId: string
  readonly count: number
}

/**
 * Which ranges go to the queue next, one after the other: always of the run that has least in it for its weight, so that neither many VMs nor one huge disk
 * keep another waiting; of that run the disk that has least in it, so that the disks of a VM advance side by side. A disk that has nothing in the queue is
 * closed, and opened only as far as host and datastore bear it.
 *
 * Input: runs under way, limits, windows. `usage` is used up. Output: how many of which image.
 */
export function planRanges({ runs, limits, window, queueWindow }: DispatchInput, usage: Usage): readonly RangesToQueue[] {
  const counts = new Map<string, number>()
  const shares = runs.map(run => new Share(run))
  let room = queueWindow - shares.reduce((sum, { queued }) => sum + queued, 0)
  let able = shares.filter(({ run, queued }) => !run.paused && run.images.length > 0 && queued < window && limits.has(run.platformId))
  able.sort((a, b) => a.run.createdAt - b.run.createdAt || (a.run.id < b.run.id ? -1 : 1))
  while (room > 0 && able.length > 0) {
    const share = able.reduce((least, other) => (other.load < least.load ? other : least))
    const imageId = share.takeOne(usage, limits.get(share.run.platformId)!)
    if (imageId !== null) {
      counts.set(imageId, (counts.get(imageId) ?? 0) + 1)
      room -= 1
    }
    // Nothing is closed meanwhile, so what cannot take one now cannot later.
    if (imageId === null || share.queued >= window) able = able.filter(other => other !== share)
  }
  return [...counts].map(([imageId, count]) => ({ imageId, count }))
}

/** One run's part of the queue, as it grows. */
class Share {
  readonly run: RunUnderWay
  readonly #images: { readonly id: string; readonly datastoreId: string | null; planned: number; queued: number }[]
  queued: number

  constructor(run: RunUnderWay) {
    this.run = run
    this.#images = run.images.map(image => ({ ...image }))
    this.queued = run.images.reduce((sum, image) => sum + image.queued, 0)
  }

  get load(): number {
    return this.queued / WEIGHTS[this.run.priority]
  }

  /** @returns the image of which one range more goes to the queue; null when none may */
  takeOne(usage: Usage, limits: Parameters<Usage['mayOpenDisk']>[2]): string | null {
    const may = this.#images.filter(
      ({ planned, queued, datastoreId }) => planned > 0 && (queued > 0 || usage.mayOpenDisk(this.run, datastoreId, limits)),
    )
    if (may.length === 0) return null
    const image = may.reduce((least, other) => (other.queued < least.queued ? other : least))
    if (image.queued === 0) usage.openDisk(this.run, image.datastoreId)
    image.planned -= 1
    image.queued += 1
    this.queued += 1
    return image.id
  }
}
