import type { Catalog } from '@varve/catalog-client'
import type { RangeLimits } from '@varve/planning'
import type { Platforms } from '@varve/range-worker'
import type { Repository } from '@varve/repository'
import type { Logger } from '@varve/runtime'
import type { ReadBackLimit } from './read-back.ts'

/** What the stories of this service work with. */
export interface SnapshotDeps {
  readonly catalog: Catalog
  readonly platforms: Platforms
  readonly repository: Repository
  readonly log: Logger
  /** What one range may hold (default: the planner's own). */
  readonly limits?: RangeLimits
  /** What is read back before a point is sealed (default 16 packs and maps). */
  readonly readBack?: ReadBackLimit
  /** Milliseconds between two tries for a VM that somebody else holds (default 2000). */
  readonly retryMs?: number
}
