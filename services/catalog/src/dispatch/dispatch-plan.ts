import type { JobPriority } from '@varve/queue'
import { planRanges, type RangesToQueue } from './plan-ranges.ts'
import { planReleases } from './plan-releases.ts'
import { Usage } from './usage.ts'

/** What the dispatcher decides by, and what it decides. Pure: the database is read before and written after. */

/** How much of the queue, and of the waiting, one run counts for against another. */
export const WEIGHTS: Readonly<Record<JobPriority, number>> = { low: 1, normal: 2, high: 4 }

/** How much of a platform may be in use, pressure taken into account; each at least 1. */
export interface DispatchLimits {
  readonly runs: number
  readonly runsPerHost: number
  readonly openDisksPerHost: number
  readonly openDisksPerDatastore: number
}

interface Placed {
  readonly id: string
  readonly vmId: string
  readonly platformId: string
  /** Null: not known, and not counted. */
  readonly hostId: string | null
  readonly priority: JobPriority
  /** ms since 1970. */
  readonly createdAt: number
}

/** A run that was given out and has not ended: it holds its place on platform and host. */
export interface RunUnderWay extends Placed {
  /** None of its ranges is given out. */
  readonly paused: boolean
  /** Its disks that are not done, in the order of the VM; empty as long as it is not copying, or after that. */
  readonly images: readonly ImageUnderWay[]
  /** Before it copies: how many disks it will open, by datastore. */
  readonly disks: Readonly<Record<string, number>>
}

export interface ImageUnderWay {
  readonly id: string
  readonly datastoreId: string | null
  /** Ranges that wait in the catalog, and those in the queue. */
  readonly planned: number
  readonly queued: number
}

/** A run that waits to be given out. */
export interface WaitingRun extends Placed {
  /** How many disks it will open, by datastore; those of unknown datastores are not in it. */
  readonly disks: Readonly<Record<string, number>>
}

export interface DispatchInput {
  readonly runs: readonly RunUnderWay[]
  readonly waiting: readonly WaitingRun[]
  /** By platform; of those that are missing nothing is given out. */
  readonly limits: ReadonlyMap<string, DispatchLimits>
  /** Ranges in the queue at most: of one run, and in all. */
  readonly window: number
  readonly queueWindow: number
  /** ms since 1970. */
  readonly now: number
}

export type Held = 'runs' | 'runsPerHost' | 'openDisksPerDatastore'

export interface DispatchPlan {
  /** Runs whose first job goes to the queue, in order. */
  readonly release: readonly string[]
  /** Runs that wait on, and the limit that holds them. */
  readonly held: readonly { readonly runId: string; readonly by: Held }[]
  /** Ranges that go to the queue next. */
  readonly queue: readonly RangesToQueue[]
}

export function planDispatch(input: DispatchInput): DispatchPlan {
  return { ...planReleases(input, Usage.of(input)), queue: planRanges(input, Usage.of(input)) }
}
