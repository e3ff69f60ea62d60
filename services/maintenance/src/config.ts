import { REPOSITORY_SETTINGS } from '@varve/range-worker'
import { loadConfig, type Static, Type } from '@varve/runtime'

const MaintenanceConfig = Type.Object({
  ...REPOSITORY_SETTINGS,

  /**
   * Seconds between two checks of leaks that the service makes itself, with a sweep; all instances together make one. 0: none. Each costs a request a
   * VM that had a run within the hour (200 others besides), and two short listings a try at a range that failed.
   */
  VARVE_LEAKS_EVERY_SECONDS: Type.Integer({ default: 300, minimum: 0, maximum: 604_800 }),

  /**
   * Seconds between two of these that are a whole check instead: the listing of the repository, every VM, every point with its roots and block maps, not the blocks
   * (docs/checks.md tells the cost). 0: none. One is open at a time, so the others wait for it.
   */
  VARVE_CHECK_EVERY_SECONDS: Type.Integer({ default: 86_400, minimum: 0, maximum: 31_622_400 }),

  /** Seconds without a sign of life after which a check says that a run under way is silent. More than the catalog takes to queue its step again (90). */
  VARVE_RUN_SILENCE_SECONDS: Type.Integer({ default: 300, minimum: 1, maximum: 86_400 }),

  /** Seconds after which a write that was begun and has not ended (temporary file, multipart upload) is left over. The slowest write is far quicker. */
  VARVE_UNFINISHED_SECONDS: Type.Integer({ default: 86_400, minimum: 0, maximum: 31_622_400 }),

  /**
   * Seconds since it was put for which a pack, map or root of an unknown owner is left alone, also when a sweep is asked for: a run of another catalog on the same
   * repository may have put it and be sealed yet. More than any run takes, with its pauses; less only where one catalog alone uses the repository.
   */
  VARVE_UNKNOWN_AGE_SECONDS: Type.Integer({ default: 2_592_000, minimum: 0, maximum: 315_360_000 }),
})
export type MaintenanceConfig = Readonly<Static<typeof MaintenanceConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadMaintenanceConfig(env: NodeJS.ProcessEnv): MaintenanceConfig {
  return loadConfig(MaintenanceConfig, env)
}
