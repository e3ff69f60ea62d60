import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { type AttemptEnd, type Catalog, CatalogError, type RangeForWork, type RangeResult, type TakenRange } from '@varve/catalog-client'

/** The part of the catalog that the work on one range uses, in memory: the first report wins, the same one again is accepted again. */
export class OneRange {
  readonly range: RangeForWork
  readonly roots: Readonly<Record<string, string>>
  readonly notes = new Set<string>()
  /** Every try, by its id, and how it ended. */
  readonly attempts = new Map<string, { readonly worker: string; outcome: AttemptEnd | 'accepted' | 'lost' | 'refused' | null }>()
  report: RangeResult | null = null

  constructor(range: Partial<RangeForWork>, roots: Readonly<Record<string, string>> = {}) {
    this.range = {
      id: 'range',
      runId: 'run',
      imageId: 'image',
      index: 0,
      firstPage: 0,
      pageCount: 1,
      extents: [],
      bytes: 0,
      state: 'queued',
      diskId: 'virtio0',
      diskSize: 0,
      blockSize: 65_536,
      kind: 'full',
      parentImageId: null,
      platformId: 'platform',
      leaseId: 'lease',
      snapshotId: 'snapshot',
      sourceImageId: null,
      onDamage: 'fail',
      runState: 'copying',
      cancelRequested: false,
      paused: false,
      bytesPerSecond: null,
      ...range,
    }
    this.roots = roots
  }

  /** As the work takes it. What is not here is not called. */
  get asCatalog(): Catalog {
    return this as unknown as Catalog
  }

  async takeRange(_id: string, worker: string): Promise<TakenRange> {
    if (this.report !== null) return { ...this.range, state: 'done', attemptId: null }
    const open = [...this.attempts].find(([, attempt]) => attempt.worker === worker && attempt.outcome === null)
    const attemptId = open?.[0] ?? randomBytes(12).toString('hex')
    if (open === undefined) this.attempts.set(attemptId, { worker, outcome: null })
    return { ...this.range, attemptId }
  }

  async endAttempt(attemptId: string, end: AttemptEnd): Promise<void> {
    const attempt = this.attempts.get(attemptId)
    if (attempt === undefined) throw new CatalogError('NOT_FOUND', 'no such attempt')
    attempt.outcome ??= end
  }

  async getPlatform(): ReturnType<Catalog['getPlatform']> {
    const credentials = { username: '', password: '' }
    const limits = { runs: 1, runsPerHost: 1, openDisksPerHost: 1, openDisksPerDatastore: 1, bytesPerSecond: null }
    const pressure = { level: 0, reason: null, at: null }
    return { id: 'platform', name: 'lab', kind: 'scp', url: 'memory:', createdAt: '', credentials, limits, pressure }
  }

  async getImageRoot(imageId: string): Promise<{ readonly rootKey: string }> {
    const rootKey = this.roots[imageId]
    if (rootKey === undefined) throw new CatalogError('NOT_FOUND', 'no image')
    return { rootKey }
  }

  async addNote(_runId: string, note: string): Promise<void> {
    this.notes.add(note)
  }

  async progressRange(): ReturnType<Catalog['progressRange']> {
    return { next: this.report === null ? 'go-on' : 'taken' }
  }

  async completeRange(_id: string, attemptId: string, report: RangeResult): Promise<{ readonly accepted: boolean }> {
    const attempt = this.attempts.get(attemptId)
    if (attempt === undefined) throw new CatalogError('NOT_FOUND', 'no such attempt')
    if (attempt.outcome === 'accepted') return { accepted: isDeepStrictEqual(this.report, report) }
    if (attempt.outcome === null && this.report === null) {
      this.report = report
      for (const [id, other] of this.attempts) other.outcome ??= id === attemptId ? 'accepted' : 'lost'
      return { accepted: true }
    }
    attempt.outcome ??= 'refused'
    return { accepted: false }
  }
}
