import { isDeepStrictEqual } from 'node:util'
import { type Catalog, CatalogError, type RangeForWork, type RangeResult } from '@varve/catalog-client'

/** The part of the catalog that the work on one range uses, in memory: the first report wins, the same one again is accepted again. */
export class OneRange {
  readonly range: RangeForWork
  readonly roots: Readonly<Record<string, string>>
  readonly notes = new Set<string>()
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
      ...range,
    }
    this.roots = roots
  }

  /** As the work takes it. What is not here is not called. */
  get asCatalog(): Catalog {
    return this as unknown as Catalog
  }

  async getRange(): Promise<RangeForWork> {
    return { ...this.range, state: this.report === null ? 'queued' : 'done' }
  }

  async getPlatform(): ReturnType<Catalog['getPlatform']> {
    return { id: 'platform', name: 'lab', kind: 'scp', url: 'memory:', createdAt: '', credentials: { username: '', password: '' } }
  }

  async getImageRoot(imageId: string): Promise<{ readonly rootKey: string }> {
    const rootKey = this.roots[imageId]
    if (rootKey === undefined) throw new CatalogError('NOT_FOUND', 'no image')
    return { rootKey }
  }

  async addNote(_runId: string, note: string): Promise<void> {
    this.notes.add(note)
  }

  async progressRange(): Promise<{ readonly cancelRequested: boolean }> {
    return { cancelRequested: false }
  }

  async completeRange(_id: string, report: RangeResult): Promise<{ readonly accepted: boolean }> {
    this.report ??= report
    return { accepted: isDeepStrictEqual(this.report, report) }
  }
}
