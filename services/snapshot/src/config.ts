import { DEFAULT_LIMITS } from '@varve/planning'
import { WORKER_SETTINGS } from '@varve/range-worker'
import { loadConfig, type Static, Type } from '@varve/runtime'

const SnapshotConfig = Type.Object({
  ...WORKER_SETTINGS,

  /** Jobs of each kind at the same time. They wait for the platform most of the time. */
  VARVE_CONCURRENCY: Type.Integer({ default: 4, minimum: 1, maximum: 64 }),

  /** Bytes of one range at most, in whole blocks; a page of the block map is never split. */
  VARVE_RANGE_BYTES: Type.Integer({ default: DEFAULT_LIMITS.maxBytes, minimum: 1024 * 1024, maximum: 16 * 1024 ** 3 }),

  /** Seconds between two rounds of renewing leases. Platforms advise one to two minutes at most; a first lease lives for 120 s. */
  VARVE_LEASE_RENEW_SECONDS: Type.Integer({ default: 20, minimum: 1, maximum: 60 }),

  /** Lifetime that each renewal asks for, seconds: as long an outage of Varve as no run is lost in. The platform allows 60 to 7200. */
  VARVE_LEASE_SECONDS: Type.Integer({ default: 300, minimum: 60, maximum: 7200 }),

  /**
   * Packs, and as many maps, of each run that are read back before it is sealed, to find a store that does not keep what it accepted: of a pack
   * its ends and two blocks, a few small gets side by side. `all` reads every object whole (as much traffic again as was written), 0 none.
   */
  VARVE_READ_BACK: Type.String({ default: '16', pattern: '^(all|[0-9]{1,5})$' }),

  /** Seconds between two readings of the platforms' lists of VMs; 0 leaves it to the api. */
  VARVE_INVENTORY_SECONDS: Type.Integer({ default: 60, minimum: 0, maximum: 86_400 }),
})
export type SnapshotConfig = Readonly<Static<typeof SnapshotConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadSnapshotConfig(env: NodeJS.ProcessEnv): SnapshotConfig {
  return loadConfig(SnapshotConfig, env)
}
