import { isDeepStrictEqual } from 'node:util'
import {
  type Catalog,
  CatalogError,
  ENDED_STATES,
  type Image,
  type MadePlan,
  type NewRange,
  type ParentPoint,
  type RestorePoint,
  type Run,
  type RunForWork,
  type RunResources,
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
  /** The point that all of `roots` belong to. */
  pointOfRoots = 'point'
  point: RestorePoint | null = null
  pointConfig: Awaited<ReturnType<Catalog['getPointConfig']>> | null = null
  sealed: SealRequest | null = null
  requeued = 0
  /** What the ranges reported. */
  objects: Awaited<ReturnType<Catalog['runObjects']>> = []

  constructor(run: Partial<RunForWork> & Pick<RunForWork, 'id' | 'kind'>) {
    this.run = {
      vmId: 'vm-of-varve',
      vmName: 'app',
      platformId: 'platform',
      platformVmId: 'vm-1',
      state: 'queued',
      paused: false,
      priority: 'normal',
      outcome: null,
      reason: null,
      message: null,
      options: {},
      totals: NOTHING,
      bottleneck: null,
      createdAt: '2026-01-01T00:00:00.000Z',
      startedAt: null,
      plannedAt: null,
      copiedAt: null,
      endedAt: null,
      restorePointId: null,
      targetPlatformVmId: null,
      images: [],
      objects: 0,
      prediction: null,
      prices: null,
      notes: [],
      resources: { snapshotName: null, snapshotId: null, leaseId: null, leaseToken: null, createdVmId: null },
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

  async recordResources(_id: string, resources: Partial<RunResources>, seen: Partial<RunResources> = {}): Promise<void> {
    const { snapshotId } = this.run.resources
    const isSeen = (name: keyof RunResources): boolean => [seen[name], resources[name]].includes(this.run.resources[name])
    if (!this.#isOver() && !(Object.keys(seen) as (keyof RunResources)[]).every(isSeen)) throw this.#changed()
    const another = resources.snapshotId !== undefined && resources.snapshotId !== snapshotId
    if (another && (this.run.state === 'copying' || this.run.state === 'sealing')) throw this.#changed()
    const otherLease = resources.leaseId !== undefined && resources.leaseId !== this.run.resources.leaseId
    if (this.run.kind === 'restore' && otherLease && (this.run.state === 'copying' || this.run.state === 'sealing')) throw this.#changed()
    if (another && snapshotId !== null && this.run.state === 'preparing') this.#deletePlan()
    const before = this.run.resources
    const changed = Object.entries(resources).filter(([name, value]) => before[name as keyof typeof before] !== value)
    if (!ENDED_STATES.includes(this.run.state)) this.#set({ resources: { ...before, ...resources } })
    const late = this.run.state === 'finishing' ? changed.some(([, value]) => value !== null) : changed.length > 0
    if (this.#isOver() && late) throw this.#over()
  }

  async recordSnapshot(
    _id: string,
    { snapshotId, ...snapshot }: { checkpointId: string; config: Readonly<Record<string, unknown>>; snapshotId?: string | null },
  ): Promise<void> {
    this.#expectSnapshot(snapshotId)
    this.#expect('preparing')
    if (this.run.checkpointId !== null && this.run.checkpointId !== snapshot.checkpointId) this.#deletePlan()
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

  async addImages(_id: string, images: Parameters<Catalog['addImages']>[1], snapshotId?: string | null): Promise<readonly Image[]> {
    this.#expectSnapshot(snapshotId)
    this.#expect('preparing')
    const added = images
      .filter(image => !this.run.images.some(present => present.diskId === image.diskId))
      .map(image => ({ ...image, id: `image-of-${image.diskId}`, runId: this.run.id, totals: NOTHING }))
    this.#set({ images: [...this.run.images, ...added] })
    return this.run.images
  }

  async addRanges(_id: string, ranges: readonly NewRange[], snapshotId?: string | null): Promise<void> {
    this.#expectSnapshot(snapshotId)
    this.#expect('preparing')
    for (const range of ranges) {
      const key = `${range.imageId}/${range.index}`
      const stored = this.ranges.get(key)
      if (!this.run.images.some(({ id }) => id === range.imageId) || (stored !== undefined && !isDeepStrictEqual(stored, range))) {
        throw this.#changed()
      }
      this.ranges.set(key, range)
    }
  }

  async planned(_id: string, { snapshotId, leaseId, images, prediction }: MadePlan = {}): Promise<void> {
    this.#expectSnapshot(snapshotId)
    if (this.run.state === 'copying') return
    this.#expect('preparing')
    if (leaseId !== undefined && leaseId !== this.run.resources.leaseId) throw this.#changed()
    const stored = this.run.images.map(({ id }) => [id, [...this.ranges.values()].filter(({ imageId }) => imageId === id).length])
    const given = images?.map(({ imageId, ranges }) => [imageId, ranges])
    if (given !== undefined && !isDeepStrictEqual(stored, given)) throw this.#changed()
    if (this.run.kind === 'preview') this.#set({ state: 'finishing', outcome: 'succeeded', prediction: prediction ?? null })
    else this.#set({ state: 'copying', prediction: prediction ?? null })
  }

  async dropPlan(_id: string, snapshotId: string | null): Promise<void> {
    if (this.run.state === 'preparing' && this.run.resources.snapshotId === snapshotId) this.#deletePlan()
  }

  async imagePages(imageId: string): Promise<Uint8Array> {
    return this.pages.get(imageId) ?? new Uint8Array()
  }

  async runObjects(): ReturnType<Catalog['runObjects']> {
    return this.objects
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
    // A run that has ended owns nothing.
    const { leaseToken: _, ...owned } = this.run.resources
    if (Object.values(owned).some(resource => resource !== null)) throw new CatalogError('CONFLICT', 'it still owns something')
    this.#set({ state: this.run.outcome ?? 'failed', endedAt: '2026-01-01T01:00:00.000Z' })
  }

  async parentPoint(): Promise<ParentPoint | null> {
    return this.parent
  }

  async listRuns({ kind }: { kind?: Run['kind'] } = {}): Promise<readonly Run[]> {
    return [this.run, ...this.lastRuns].filter(run => kind === undefined || run.kind === kind)
  }

  async getPoint(): Promise<RestorePoint> {
    if (this.point === null) throw new CatalogError('NOT_FOUND', 'no point')
    return this.point
  }

  async getPointConfig(): Promise<NonNullable<MemoryCatalog['pointConfig']>> {
    if (this.pointConfig !== null) return this.pointConfig
    if (this.parent === null) throw new CatalogError('NOT_FOUND', 'no point')
    return { config: {}, platformId: 'platform', platformVmId: 'vm-1', checkpointId: this.parent.checkpointId }
  }

  async getImageRoot(imageId: string): Promise<{ readonly rootKey: string; readonly restorePointId: string }> {
    const rootKey = this.roots.get(imageId)
    if (rootKey === undefined) throw new CatalogError('NOT_FOUND', 'no image')
    return { rootKey, restorePointId: this.pointOfRoots }
  }

  async requeue(): Promise<void> {
    this.requeued += 1
  }

  async activeLeases(): ReturnType<Catalog['activeLeases']> {
    const { leaseId } = this.run.resources
    return leaseId === null || this.#isOver() ? [] : [{ runId: this.run.id, platformId: this.run.platformId, leaseId }]
  }

  #set(change: Partial<RunForWork>): void {
    this.run = { ...this.run, ...change }
  }

  #deletePlan(): void {
    this.ranges.clear()
    this.#set({ images: [] })
  }

  #expectSnapshot(snapshotId: string | null | undefined): void {
    if (snapshotId !== undefined && snapshotId !== this.run.resources.snapshotId && !this.#isOver()) throw this.#changed()
  }

  #changed(): CatalogError {
    return new CatalogError('PLAN_CHANGED', 'another plan', { state: this.run.state })
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
