/* The answers of the API, as far as the page shows them. */

export interface VmInfo {
  readonly id: string
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
  readonly rangesTotal: number
  readonly rangesDone: number
}

interface ImageInfo {
  readonly diskId: string
  readonly diskSize: number
  readonly kind: 'full' | 'incremental'
  readonly reason: string | null
  readonly reasonText: string | null
}

export interface RunImageInfo extends ImageInfo {
  readonly id: string
  readonly totals: TotalsInfo
}

/** What a run was expected to do when it was planned. */
export interface PredictionInfo {
  readonly of: 'backup' | 'restore'
  readonly read: number
  readonly stored: number
  readonly seconds: number
}

export interface RunInfo {
  readonly id: string
  readonly kind: 'backup' | 'restore' | 'preview'
  readonly vmId: string
  readonly vmName: string
  readonly state: string
  readonly paused: boolean
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
  readonly images: readonly RunImageInfo[]
  readonly notes: readonly string[]
  /** Of a preview: its result. */
  readonly prediction: PredictionInfo | null
}

export interface PointImageInfo extends ImageInfo {
  readonly imageId: string
  readonly read: number
  readonly stored: number
}

export interface PointInfo {
  readonly id: string
  readonly vmId: string
  readonly runId: string
  readonly createdAt: string
  readonly checkpointId: string
  readonly parentId: string | null
  readonly chainId: string
  readonly stored: number
  readonly images: readonly PointImageInfo[]
}

export interface Items<T> {
  readonly items: readonly T[]
  readonly next?: string | null
}
