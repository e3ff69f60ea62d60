import { randomUUID } from 'node:crypto'
import {
  type BackupOptions,
  type Catalog,
  CatalogError,
  type Check,
  type CheckFilter,
  type CheckRequest,
  type CheckWithFindings,
  ENDED_STATES,
  type Finding,
  type NewPlatform,
  type PageRequest,
  type Platform,
  type PlatformLimits,
  type PlatformWithCredentials,
  type PreviewOptions,
  type Prices,
  placeAfter,
  type RestoreOptions,
  type RestorePoint,
  type Run,
  type RunKind,
  type SeenVm,
  type Vm,
} from '@varve/catalog-client'

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function pageFrom<Item extends Parameters<typeof placeAfter>[0]>(all: readonly Item[], { limit = 1000, after }: PageRequest = {}): Item[] {
  const from = after === undefined ? 0 : all.findIndex(item => placeAfter(item) === after) + 1
  return all.slice(from, from + limit)
}

const NO_TOTALS = { planned: 0, read: 0, written: 0, unchanged: 0, zero: 0, rangesTotal: 0, rangesDone: 0 }

/**
 * The part of the catalog that the api uses, in memory: for tests of the api, the CLI and the dashboard that need no database. What
 * becomes of a run is up to the test, through `change` and `addPoint`.
 */
export class MemoryCatalog {
  readonly platforms = new Map<string, PlatformWithCredentials>()
  readonly vms = new Map<string, Omit<Vm, 'lastPoint' | 'points'>>()
  readonly runs = new Map<string, Run>()
  readonly points = new Map<string, RestorePoint>()
  readonly checks = new Map<string, CheckWithFindings>()
  prices: Prices | null = null
  readonly #keys = new Map<string, { request: string; runId: string }>()
  #told: (runId: string) => void = () => {}
  /** Called with each new run. */
  onRun: (run: Run) => void = () => {}
  /** Called with each new check. */
  onCheck: (check: Check) => void = () => {}

  /** The face that the api sees; what is not here is not for it. */
  get catalog(): Catalog {
    return this as unknown as Catalog
  }

  async addPlatform(platform: NewPlatform): Promise<Platform> {
    if ([...this.platforms.values()].some(({ name }) => name === platform.name)) {
      throw new CatalogError('CONFLICT', `a platform named ${platform.name} exists`)
    }
    const added = {
      ...platform,
      id: randomUUID(),
      createdAt: new Date().toISOString(),
      limits: { runs: 32, runsPerHost: 16, openDisksPerHost: 16, openDisksPerDatastore: 10, bytesPerSecond: null },
      pressure: { level: 0, reason: null, at: null },
    }
    this.platforms.set(added.id, added)
    return added
  }
  async listPlatforms(): Promise<Platform[]> {
    return [...this.platforms.values()]
  }
  async getPlatform(id: string): Promise<PlatformWithCredentials> {
    return found(this.platforms, id, 'platform')
  }
  async setPlatformLimits(id: string, limits: Partial<PlatformLimits>): Promise<Platform> {
    const platform = found(this.platforms, id, 'platform')
    const changed = { ...platform, limits: { ...platform.limits, ...limits } }
    this.platforms.set(id, changed)
    return changed
  }
  async deletePlatform(id: string): Promise<void> {
    found(this.platforms, id, 'platform')
    this.platforms.delete(id)
  }

  async reportVms(platformId: string, seen: readonly SeenVm[]): Promise<void> {
    for (const vm of seen) {
      const known = [...this.vms.values()].find(other => other.platformId === platformId && other.platformVmId === vm.platformVmId)
      const id = known?.id ?? randomUUID()
      this.vms.set(id, { id, platformId, ...vm, seenAt: new Date().toISOString() })
    }
  }
  async listVms(page?: PageRequest): Promise<Vm[]> {
    const all = await Promise.all([...this.vms.keys()].map(id => this.getVm(id)))
    return pageFrom(
      all.sort((a, b) => order(a.name, b.name) || order(a.id, b.id)),
      page,
    )
  }
  async getVm(id: string): Promise<Vm> {
    const points = await this.listPoints(id)
    const last = points[0]
    return {
      ...found(this.vms, id, 'VM'),
      lastPoint: last === undefined ? null : { id: last.id, createdAt: last.createdAt },
      points: points.length,
    }
  }

  async createBackup(vmId: string, options: BackupOptions, key?: string): Promise<Run> {
    return this.#createRun('backup', found(this.vms, vmId, 'VM').id, options, null, key)
  }
  async createRestore(pointId: string, options: RestoreOptions, key?: string): Promise<Run> {
    const point = found(this.points, pointId, 'restore point')
    return this.#createRun('restore', point.vmId, options, point.id, key)
  }
  async createBackupPreview(vmId: string, options: BackupOptions, key?: string): Promise<Run> {
    return this.#createRun('preview', found(this.vms, vmId, 'VM').id, { ...options, of: 'backup' }, null, key)
  }
  async createRestorePreview(pointId: string, options: RestoreOptions, key?: string): Promise<Run> {
    const point = found(this.points, pointId, 'restore point')
    return this.#createRun('preview', point.vmId, { ...options, of: 'restore' }, point.id, key)
  }
  async getPrices(): Promise<Prices | null> {
    return this.prices
  }
  async setPrices(prices: Prices | null): Promise<void> {
    this.prices = prices
    for (const [id, run] of this.runs) this.runs.set(id, { ...run, prices })
  }
  #createRun(
    kind: RunKind,
    vmId: string,
    options: BackupOptions | RestoreOptions | PreviewOptions,
    pointId: string | null,
    key?: string,
  ): Run {
    const request = JSON.stringify([kind, vmId, options, pointId])
    const known = key === undefined ? undefined : this.#keys.get(key)
    if (known !== undefined) {
      if (known.request !== request) throw new CatalogError('CONFLICT', 'the idempotency key was used for another request')
      return found(this.runs, known.runId, 'run')
    }
    const vm = found(this.vms, vmId, 'VM')
    if ([...this.runs.values()].some(run => run.vmId === vmId && !ENDED_STATES.includes(run.state))) {
      throw new CatalogError('CONFLICT', `VM ${vm.name} has a run under way`)
    }
    const run: Run = {
      id: randomUUID(),
      kind,
      vmId,
      vmName: vm.name,
      platformId: vm.platformId,
      state: 'queued',
      paused: false,
      priority: options.priority ?? 'normal',
      outcome: null,
      reason: null,
      message: null,
      options,
      totals: NO_TOTALS,
      bottleneck: null,
      createdAt: new Date().toISOString(),
      startedAt: null,
      plannedAt: null,
      copiedAt: null,
      endedAt: null,
      restorePointId: pointId,
      targetPlatformVmId: null,
      images: [],
      objects: 0,
      prediction: null,
      prices: this.prices,
      notes: [],
    }
    this.runs.set(run.id, run)
    if (key !== undefined) this.#keys.set(key, { request, runId: run.id })
    this.onRun(run)
    return run
  }

  async listRuns(filter: PageRequest & { vmId?: string; kind?: RunKind; active?: boolean } = {}): Promise<Run[]> {
    const all = [...this.runs.values()]
      .filter(
        run =>
          (filter.vmId === undefined || run.vmId === filter.vmId) &&
          (filter.kind === undefined || run.kind === filter.kind) &&
          (filter.active === undefined || filter.active !== ENDED_STATES.includes(run.state)),
      )
      .reverse()
    return pageFrom(all, { limit: 100, ...filter })
  }
  async getRun(id: string): Promise<Run> {
    return found(this.runs, id, 'run')
  }
  async cancelRun(id: string): Promise<Run> {
    const run = found(this.runs, id, 'run')
    if (ENDED_STATES.includes(run.state)) return run
    const endedAt = new Date().toISOString()
    return this.change(id, { state: 'cancelled', paused: false, outcome: 'cancelled', reason: 'CANCELLED', message: 'cancelled', endedAt })
  }
  async pauseRun(id: string): Promise<Run> {
    const run = found(this.runs, id, 'run')
    if (ENDED_STATES.includes(run.state)) throw new CatalogError('RUN_ENDED', `run ${id} is ${run.state}`, { state: run.state })
    return this.change(id, { paused: true })
  }
  async resumeRun(id: string): Promise<Run> {
    return found(this.runs, id, 'run').paused ? this.change(id, { paused: false }) : found(this.runs, id, 'run')
  }

  async listPoints(vmId?: string, page?: PageRequest): Promise<RestorePoint[]> {
    const all = [...this.points.values()].filter(point => vmId === undefined || point.vmId === vmId)
    return pageFrom(
      all.sort((a, b) => order(b.createdAt, a.createdAt) || order(b.id, a.id)),
      page,
    )
  }
  async getPoint(id: string): Promise<RestorePoint> {
    return found(this.points, id, 'restore point')
  }

  async createCheck({ scope, sweep }: CheckRequest): Promise<Check> {
    const id = randomUUID()
    const nothing = { worker: null, endedAt: null, progress: null, summary: null, reason: null, message: null, findings: null }
    const check = { id, scope, sweep, periodic: false, state: 'queued', createdAt: new Date().toISOString(), ...nothing } as const
    this.checks.set(id, check)
    this.onCheck(check)
    return check
  }
  async getCheck(id: string): Promise<CheckWithFindings> {
    return found(this.checks, id, 'check')
  }
  async listChecks({ scope, state, periodic, limit = 20 }: CheckFilter = {}): Promise<Check[]> {
    return [...this.checks.values()]
      .filter(
        check =>
          (scope ?? check.scope) === check.scope &&
          (state ?? check.state) === check.state &&
          (periodic ?? check.periodic) === check.periodic,
      )
      .reverse()
      .slice(0, limit)
  }
  /** The check is done, with these findings. */
  endCheck(id: string, findings: readonly Finding[], fields: Partial<Check> = {}): void {
    const of = (kind: Finding['kind']): number => findings.filter(finding => finding.kind === kind).length
    const summary = {
      findings: findings.length,
      leaks: of('leak'),
      broken: of('broken'),
      notes: of('note'),
      swept: findings.filter(({ swept }) => swept).length,
      byCode: {},
      seen: { vms: 1, snapshots: 0, leases: 0, objects: 2, points: 3, images: 4, pages: 5 },
    }
    const endedAt = new Date().toISOString()
    this.checks.set(id, { ...found(this.checks, id, 'check'), state: 'done', endedAt, summary, findings, ...fields })
  }

  async *changes(signal?: AbortSignal): AsyncGenerator<{ runId: string }> {
    const aborted = new Promise<undefined>(resolve => signal?.addEventListener('abort', () => resolve(undefined), { once: true }))
    while (signal?.aborted !== true) {
      const told = new Promise<string>(resolve => {
        this.#told = resolve
      })
      const runId = await Promise.race([told, aborted])
      if (runId !== undefined) yield { runId }
    }
  }
  async close(): Promise<void> {}

  change(runId: string, fields: Partial<Run>): Run {
    const run = { ...found(this.runs, runId, 'run'), ...fields }
    this.runs.set(runId, run)
    this.#told(runId)
    return run
  }
  addPoint(point: RestorePoint): void {
    this.points.set(point.id, point)
  }
}

function found<T>(map: ReadonlyMap<string, T>, id: string, what: string): T {
  const value = map.get(id)
  if (value === undefined) throw new CatalogError('NOT_FOUND', `no ${what} ${id}`)
  return value
}
