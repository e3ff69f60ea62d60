/* The answers of the API, as far as the command uses them. The OpenAPI document of the api has the rest. */

export interface PlatformInfo {
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly url: string
  readonly transport: 'nbd' | 'nbd_ssl' | null
  readonly createdAt: string
  readonly limits: LimitsInfo
  readonly pressure: { readonly level: number; readonly reason: 'throttled' | 'slow' | null; readonly at: string | null }
  readonly inventory: { readonly readAt: string | null; readonly code: string | null; readonly message: string | null }
}

export interface LimitsInfo {
  readonly runs: number
  readonly runsPerHost: number
  readonly openDisksPerHost: number
  readonly openDisksPerDatastore: number
  readonly bytesPerSecond: number | null
}

export interface VmInfo {
  readonly id: string
  readonly platformId: string
  readonly platformVmId: string
  readonly name: string
  readonly power: string
  readonly exclusions: readonly string[]
  readonly disks: readonly { readonly diskId: string; readonly size: number; readonly excluded?: string }[]
  readonly lastPoint: { readonly id: string; readonly createdAt: string } | null
  readonly points: number
}

export interface TotalsInfo {
  readonly planned: number
  readonly read: number
  readonly written: number
  readonly unchanged: number
  readonly zero: number
}

export interface ImageInfo {
  readonly diskId: string
  readonly diskSize: number
  readonly kind: 'full' | 'incremental'
  readonly reason: string | null
  readonly reasonText: string | null
}

export interface RunInfo {
  readonly id: string
  readonly kind: 'backup' | 'restore' | 'preview'
  readonly vmId: string
  readonly vmName: string
  readonly state: string
  readonly paused: boolean
  readonly priority: 'low' | 'normal' | 'high'
  readonly outcome: string | null
  readonly reason: string | null
  readonly message: string | null
  readonly help: string | null
  readonly totals: TotalsInfo
  readonly bottleneck: 'source' | 'throttle' | 'cpu' | 'store' | null
  readonly progress: { readonly fraction: number; readonly rate: number | null; readonly remainingSeconds: number | null }
  readonly createdAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly restorePointId: string | null
  readonly targetPlatformVmId: string | null
  readonly images: readonly (ImageInfo & { readonly totals: TotalsInfo })[]
  readonly notes: readonly string[]
  readonly prediction: PredictionInfo | null
  readonly actual: FiguresInfo | null
}

/** What a run was expected to do, or did. */
export interface FiguresInfo {
  readonly read: number
  readonly stored: number
  readonly puts: number
  readonly seconds: number
  readonly price: PriceInfo | null
}

export interface PriceInfo {
  readonly currency: string
  readonly run: number
  readonly perMonth: number
}

export interface BasisInfo {
  readonly from: 'disk' | 'vm' | 'platform' | 'default'
  readonly runs: number
}

export interface PredictionInfo extends FiguresInfo {
  readonly of: 'backup' | 'restore'
  readonly planned: number
  readonly exact: boolean
  readonly gets: number
  readonly secondsBasis: BasisInfo
  readonly previewId: string | null
  readonly disks: readonly PredictedDiskInfo[]
}

export interface PredictedDiskInfo {
  readonly diskId: string
  readonly kind: 'full' | 'incremental' | 'differential'
  readonly reason: string | null
  readonly reasonText: string | null
  readonly planned: number
  readonly read: number
  readonly exact: boolean
  readonly stored: number
  readonly storedBasis: BasisInfo
  readonly puts: number
  readonly gets: number
}

export interface PricesInfo {
  readonly prices: {
    readonly currency: string
    readonly perGibMonth: number
    readonly perThousandPuts: number
    readonly perThousandGets: number
    readonly perGibRead: number
  } | null
}

export interface PointInfo {
  readonly id: string
  readonly vmId: string
  readonly vmName: string
  readonly createdAt: string
  readonly parentId: string | null
  readonly chainId: string
  readonly stored: number
  readonly images: readonly (ImageInfo & { readonly read: number; readonly stored: number })[]
}

export interface FindingInfo {
  readonly code: string
  readonly kind: 'leak' | 'broken' | 'note'
  readonly invariant: number | null
  readonly subject: string
  readonly runId: string | null
  readonly platformId: string | null
  readonly message: string
  readonly help: string
  readonly swept: boolean
}

export interface CheckSeenInfo {
  readonly vms: number
  readonly snapshots: number
  readonly leases: number
  readonly objects: number
  readonly points: number
  readonly images: number
  readonly pages: number
}

export interface CheckInfo {
  readonly id: string
  readonly scope: 'leaks' | 'all'
  readonly state: 'queued' | 'running' | 'done' | 'failed'
  readonly endedAt: string | null
  readonly progress: { readonly step: string; readonly seen: CheckSeenInfo } | null
  readonly summary: {
    readonly findings: number
    readonly leaks: number
    readonly broken: number
    readonly notes: number
    readonly swept: number
    readonly seen: CheckSeenInfo
  } | null
  readonly reason: string | null
  readonly message: string | null
  readonly findings: readonly FindingInfo[] | null
}

export interface LeaksInfo {
  readonly checkedAt: string | null
  readonly underWay: boolean
  readonly items: readonly FindingInfo[]
  readonly swept: readonly FindingInfo[]
}

/** Lists of the API; long ones come in pages. */
export interface Items<T> {
  readonly items: readonly T[]
  /** Where the next page begins; null or absent: this was all. */
  readonly next?: string | null
}
