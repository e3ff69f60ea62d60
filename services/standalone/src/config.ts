import { LANE_SETTINGS, S3_SETTINGS } from '@varve/range-worker'
import { LOG_LEVELS, loadConfig, type Static, Type } from '@varve/runtime'

const StandaloneConfig = Type.Object({
  /** Folder of database, repository, token and state file. */
  VARVE_HOME: Type.String({ default: '.varve' }),

  /** Port of the API and dashboard on 127.0.0.1. */
  VARVE_API_PORT: Type.Integer({ default: 7300, minimum: 0, maximum: 65_535 }),

  /** PostgreSQL of the catalog; empty: an embedded one in the home folder. */
  VARVE_DATABASE_URL: Type.String({ default: '' }),

  /** `redis://…` or `postgres://…`; empty: the catalog's database. */
  VARVE_QUEUE_URL: Type.String({ default: '' }),

  /** `file:///folder` or `s3://bucket/prefix`; empty: `<home>/repository`. */
  VARVE_REPOSITORY_URL: Type.String({ default: '' }),

  ...S3_SETTINGS,

  /** Worker threads that read, and that write. */
  ...LANE_SETTINGS,

  /** Seconds between two looks for what is owned by no run, which take it away; 0: none. */
  VARVE_LEAKS_EVERY_SECONDS: Type.Integer({ default: 300, minimum: 0, maximum: 604_800 }),

  /**
   * Seconds between two of these that are a whole check instead: the listing of the repository, every VM, every point with its roots and block maps, not the blocks
   * (docs/checks.md tells the cost). 0: none. One is open at a time, so the others wait for it.
   */
  VARVE_CHECK_EVERY_SECONDS: Type.Integer({ default: 86_400, minimum: 0, maximum: 31_622_400 }),

  VARVE_LOG_LEVEL: Type.Enum([...LOG_LEVELS], { default: 'info' }),
})
export type StandaloneConfig = Readonly<Static<typeof StandaloneConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadStandaloneConfig(env: NodeJS.ProcessEnv = process.env): StandaloneConfig {
  return loadConfig(StandaloneConfig, env)
}
