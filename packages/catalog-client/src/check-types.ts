import type { FullReason } from '@varve/planning'
import type { FindingCode, FindingKind } from './finding-codes.ts'
import type { Outcome, RunKind, RunState } from './types.ts'

/** `leaks`: what exists and is owned by nobody (invariant 7). `all`: that and every other invariant that can be looked at. */
export type CheckScope = 'leaks' | 'all'
export const CHECK_STATES = ['queued', 'running', 'done', 'failed'] as const
export type CheckState = (typeof CHECK_STATES)[number]

/** Most findings that are kept of one check; the summary counts all. */
export const FINDINGS_MAX = 10_000

export interface CheckRequest {
  readonly scope: CheckScope
  /** Take away what is owned by nobody. */
  readonly sweep: boolean
}

/** How much a check has looked at. */
export interface CheckSeen {
  readonly vms: number
  readonly snapshots: number
  readonly leases: number
  readonly objects: number
  readonly points: number
  readonly images: number
  readonly pages: number
}

export interface CheckProgress {
  /** What is being looked at now: `runs`, `platforms`, `objects`, `points`, `sweep`. */
  readonly step: string
  readonly seen: CheckSeen
}

export interface CheckSummary {
  /** All of them, also those that were not kept. */
  readonly findings: number
  readonly leaks: number
  readonly broken: number
  readonly notes: number
  /** Of the leaks: those that were taken away. */
  readonly swept: number
  readonly byCode: Readonly<Record<string, number>>
  readonly seen: CheckSeen
}

export interface Finding {
  readonly code: FindingCode
  readonly invariant: number | null
  readonly kind: FindingKind
  /** What it is about: an object's key, or the id of a snapshot, lease, VM (the platform's), run or restore point. */
  readonly subject: string
  readonly runId: string | null
  readonly platformId: string | null
  readonly message: string
  /** It was taken away by this check. */
  readonly swept: boolean
}

/** One look at whether the invariants hold. */
export interface Check extends CheckRequest {
  readonly id: string
  /** Made by the maintenance service itself, at intervals: sweeps, and looks at what changed lately instead of at everything. */
  readonly periodic: boolean
  readonly state: CheckState
  readonly worker: string | null
  readonly createdAt: string
  readonly endedAt: string | null
  readonly progress: CheckProgress | null
  readonly summary: CheckSummary | null
  /** Why it failed. */
  readonly reason: string | null
  readonly message: string | null
}

export interface CheckWithFindings extends Check {
  /** Null until it is done. At most FINDINGS_MAX; `broken` before `leak` before `note`. */
  readonly findings: readonly Finding[] | null
}

export type CheckEnd =
  | { readonly findings: readonly Finding[]; readonly summary: CheckSummary }
  | { readonly error: { readonly code: string; readonly message: string } }

export interface CheckFilter {
  readonly scope?: CheckScope
  readonly state?: CheckState
  readonly periodic?: boolean
  /** Default 20, at most 200. */
  readonly limit?: number
}

/** Part of a list; `next` is where the following part begins, null at the end. */
export interface FactsPage<T> {
  readonly items: readonly T[]
  readonly next: string | null
}

/** A sealed point as the catalog has it. */
export interface PointFacts {
  readonly id: string
  readonly runId: string
  readonly vmId: string
  readonly vmName: string
  readonly platformId: string
  readonly platformVmId: string
  readonly parentId: string | null
  /** The VM of the point's parent; null: there is no such sealed point. */
  readonly parentVmId: string | null
  readonly createdAt: string
  readonly checkpointId: string
  readonly manifestKey: string
  readonly config: Readonly<Record<string, unknown>> | null
  readonly runKind: RunKind
  readonly runOutcome: Outcome | null
  /** Images of its run, sealed or not. */
  readonly imagesOfRun: number
  readonly images: readonly PointImageFacts[]
}

export interface PointImageFacts {
  readonly imageId: string
  readonly diskId: string
  readonly diskSize: number
  readonly blockSize: number
  readonly kind: 'full' | 'incremental'
  readonly reason: FullReason | null
  readonly since: string | null
  readonly cbt: boolean
  readonly rootKey: string
  readonly merkleRoot: string
  readonly read: number
  readonly stored: number
  readonly parentImageId: string | null
  /** Of the parent image, as far as it is of a sealed point: that point, its disk, and the checkpoint that belongs to that disk there. */
  readonly parent: { readonly restorePointId: string; readonly diskId: string; readonly checkpointId: string | null } | null
}

/** A run, as far as it matters to what it may own. */
export interface RunFacts {
  readonly id: string
  readonly kind: RunKind
  readonly state: RunState
  readonly outcome: Outcome | null
  readonly createdAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly vmId: string
  readonly platformId: string
  readonly platformVmId: string
  readonly targetPlatformVmId: string | null
  /** The last lease it had, kept when it is struck off. */
  readonly lastLeaseId: string | null
}

export interface LiveRunFacts extends RunFacts {
  readonly vmName: string
  /** Seconds since the last sign of life of the run or of any of its ranges. */
  readonly silentSeconds: number
  /** Does it wait by somebody's will, or for its turn: paused, or not released yet? Then it gives no signs. */
  readonly waiting: boolean
  /** Does a job of it wait to be brought to the queue? */
  readonly jobWaits: boolean
}

/** Whose a pack or map is. */
export interface ObjectOwner {
  readonly key: string
  /**
   * `kept`: of an accepted try. `live`: of one that may still report, or whose run has not ended. `ended`: of one that never will be accepted, or whose run
   * ended without success. `none`: of no try in the list; of a run that ended long ago, `compactedAttempts` has it.
   */
  readonly owner: 'kept' | 'live' | 'ended' | 'none'
  readonly runId: string | null
  readonly attemptId: string | null
}

/** Whose an image's root is. */
export interface ImageOwner {
  readonly imageId: string
  /** `kept`: of a backup that succeeded. `live`: of a run that has not ended. `ended`: of one that failed or was cancelled. `none`: not known. */
  readonly owner: 'kept' | 'live' | 'ended' | 'none'
  readonly runId: string | null
  readonly restorePointId: string | null
}

/** A try at a range whose packs and maps nobody will ever name. */
export interface AttemptToSweep {
  readonly id: string
  readonly runId: string
}

export interface AttemptsToSweep {
  /** When they were asked for, by the catalog's clock; handed back when they are swept. */
  readonly askedAt: string
  readonly attempts: readonly AttemptToSweep[]
}

/** A pack or map that a backup reported which ended without a point. */
export interface ObjectToSweep {
  readonly key: string
  readonly runId: string
}

/** The accepted tries of a run that ended long ago. */
export interface CompactedAttempts {
  readonly runId: string
  /** The run ended without success: nothing of it is needed. */
  readonly ended: boolean
  /** Their ids, 12 bytes each, one behind the other; base64. */
  readonly attemptIds: string
}
