import {
  type Catalog,
  CatalogError,
  ENDED_STATES,
  type Image,
  type NewRange,
  type ParentPoint,
  type RestorePoint,
  type Run,
  type RunForWork,
  type RunTotals,
  type SealRequest,
} from '@varve/catalog-client'
import type { ErrorReport } from '@varve/errors'

const NOTHING: RunTotals = { planned: 0, read: 0, written: 0, unchanged: 0, zero: 0, rangesTotal: 0, rangesDone: 0 }

/** The part of the catalog that the stories of this service use, for one run, in memory. Its rules of states are those of the real one. */
export class MemoryCatalog {
  run: RunForWork
  readonly ranges = new Map<string, NewRange>()
  readonly pages = new Map<string, Uint8Array>()
  readonly roots = new Map<string, string>()
  readonly lastRuns: Run[] = []
  parent: ParentPoint | null = null
  point: RestorePoint | null = null
  pointConfig: Awaited<ReturnType<Catalog['getPointConfig']>> | null = null
  sealed: SealRequest | null = null

  constructor(run: Partial<RunForWork> & Pick<RunForWork, 'id' | 'kind'>) {
    this.run = {
      vmId: 'vm-of-varve',
      vmName: 'app',
      platformId: 'platform',
      platformVmId: 'vm-1',
      state: 'queued',
      outcome: null,
      reason: null,
      message: null,
      options: {},
      totals: NOTHING,
      createdAt: '2026-01-01T00:00:00.000Z',
      startedAt: null,
      endedAt: null,
      restorePointId: null,
      targetPlatformVmId: null,
      images: [],
      notes: [],
      resources: { snapshotName: null, snapshotId: null, leaseId: null, createdVmId: null },
      checkpointId: null,
      config: null,
      cancelRequested: false,
      ...run,
    }
  }

  /** As the stories take it. What is not here is not called. */
  get asCatalog(): Catalog {
    return this as unknown as Catalog
  }

  async getRunForWork(): Promise<RunForWork> {
    return this.run
  }

  async startRun(): Promise<void> {
    this.#expect('queued', 'preparing')
    this.#set({ state: 'preparing', startedAt: this.run.startedAt ?? '2026-01-01T00:00:01.000Z' })
  }

  async recordResources(_id: string, resources: Partial<RunForWork['resources']>): Promise<void> {
    if (!ENDED_STATES.includes(this.run.state)) this.#set({ resources: { ...this.run.resources, ...resources } })
    if (this.#isOver()) throw this.#over()
  }

  async recordSnapshot(_id: string, snapshot: { checkpointId: string; config: Readonly<Record<string, unknown>> }): Promise<void> {
    this.#expect('preparing')
    this.#set(snapshot)
  }

  async addNote(_id: string, note: string): Promise<void> {
    if (ENDED_STATES.includes(this.run.state)) throw this.#over()
    if (!this.run.notes.includes(note)) this.#set({ notes: [...this.run.notes, note] })
  }

  async setTarget(_id: string, targetPlatformVmId: string): Promise<void> {
    this.#expect('preparing')
    this.#set({ targetPlatformVmId })
  }

  async addImages(_id: string, images: Parameters<Catalog['addImages']>[1]): Promise<readonly Image[]> {
    this.#expect('preparing')
    const added = images
      .filter(image => !this.run.images.some(present => present.diskId === image.diskId))
      .map(image => ({ ...image, id: `image-of-${image.diskId}`, runId: this.run.id, totals: NOTHING }))
    this.#set({ images: [...this.run.images, ...added] })
    return this.run.images
  }

  async addRanges(_id: string, ranges: readonly NewRange[]): Promise<void> {
    this.#expect('preparing')
    for (const range of ranges) {
      const key = `${range.imageId}/${range.index}`
      if (!this.ranges.has(key)) this.ranges.set(key, range)
    }
  }

  async planned(): Promise<void> {
    if (this.run.state === 'copying') return
    this.#expect('preparing')
    this.#set({ state: 'copying' })
  }

  async imagePages(imageId: string): Promise<Uint8Array> {
    return this.pages.get(imageId) ?? new Uint8Array()
  }

  async seal(_id: string, request: SealRequest): Promise<void> {
    if (this.sealed !== null) return
    this.#expect('sealing')
    this.sealed = request
    this.#set({ state: 'finishing', outcome: 'succeeded' })
  }

  async failRun(_id: string, error: ErrorReport): Promise<void> {
    if (this.#isOver()) return
    this.#set({ state: 'finishing', outcome: error.code === 'CANCELLED' ? 'cancelled' : 'failed', reason: error.code })
  }

  async closeRun(): Promise<void> {
    if (ENDED_STATES.includes(this.run.state)) return
    this.#expect('finishing')
    this.#set({ state: this.run.outcome ?? 'failed', endedAt: '2026-01-01T01:00:00.000Z' })
  }

  async parentPoint(): Promise<ParentPoint | null> {
    return this.parent
  }

  async listRuns(): Promise<readonly Run[]> {
    return [this.run, ...this.lastRuns]
  }

  async getPoint(): Promise<RestorePoint> {
    if (this.point === null) throw new CatalogError('NOT_FOUND', 'no point')
    return this.point
  }

  async getPointConfig(): Promise<NonNullable<MemoryCatalog['pointConfig']>> {
    if (this.pointConfig === null) throw new CatalogError('NOT_FOUND', 'no point')
    return this.pointConfig
  }

  async getImageRoot(imageId: string): Promise<{ readonly rootKey: string }> {
    const rootKey = this.roots.get(imageId)
    if (rootKey === undefined) throw new CatalogError('NOT_FOUND', 'no image')
    return { rootKey }
  }

  async activeLeases(): ReturnType<Catalog['activeLeases']> {
    const { leaseId } = this.run.resources
    return leaseId === null || this.#isOver() ? [] : [{ runId: this.run.id, platformId: this.run.platformId, leaseId }]
  }

  #set(change: Partial<RunForWork>): void {
    this.run = { ...this.run, ...change }
  }

  #isOver(): boolean {
    return this.run.state === 'finishing' || ENDED_STATES.includes(this.run.state)
  }

  #expect(...states: readonly Run['state'][]): void {
    if (states.includes(this.run.state)) return
    throw this.#isOver() ? this.#over() : new CatalogError('CONFLICT', `the run is ${this.run.state}`, { state: this.run.state })
  }

  #over(): CatalogError {
    return new CatalogError('RUN_ENDED', `the run is ${this.run.state}`)
  }
}
