import type { Catalog, Check } from '@varve/catalog-client'
import type { Platforms } from '@varve/range-worker'
import type { Repository } from '@varve/repository'
import type { Logger } from '@varve/runtime'
import type { Findings } from './findings.ts'
import type { StrangePoints } from './strange-points.ts'

/** What the parts of a check work with. */
export interface CheckContext {
  readonly check: Check
  readonly catalog: Catalog
  readonly platforms: Platforms
  /** Opened for this check: nothing that an earlier one read is in its caches. */
  readonly repository: Repository
  readonly strangePoints: StrangePoints
  readonly findings: Findings
  readonly limits: CheckLimits
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Does it look at everything? Most of those made at intervals look at what changed lately only. */
export function isWhole({ periodic, scope }: Pick<Check, 'periodic' | 'scope'>): boolean {
  return !periodic || scope === 'all'
}

export interface CheckLimits {
  /** Seconds without a sign of life after which a run under way counts as silent. */
  readonly silenceS: number
  /** Seconds after which a write that has not ended will not end any more. */
  readonly unfinishedS: number
  /** Seconds for which an object of an unknown owner is left alone: another installation may be writing it. */
  readonly unknownAgeS: number
}
