export type { Catalog, MadePlan, NewImage, SeenVm } from './catalog.ts'
export { type CatalogClientOptions, createCatalogClient } from './client.ts'
export { CATALOG_ERRORS, CatalogError, type CatalogErrorCode, isCatalogErrorCode } from './errors.ts'
export {
  type BackupOptions,
  ENDED_STATES,
  type Image,
  type NewRange,
  type Outcome,
  type ParentPoint,
  type Platform,
  type PlatformWithCredentials,
  type PointImage,
  type RangeForWork,
  type RangeResult,
  type RestoreOptions,
  type RestorePoint,
  RUN_STATES,
  type Run,
  type RunForWork,
  type RunKind,
  type RunResources,
  type RunState,
  type RunStep,
  type RunTotals,
  type SealRequest,
  type Vm,
} from './types.ts'
