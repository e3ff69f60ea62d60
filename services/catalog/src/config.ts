import { loadConfig, SERVICE_SETTINGS, type Static, Type } from '@varve/runtime'

const CatalogConfig = Type.Object({
  /** Connection string of the catalog's PostgreSQL (15 or newer). Only this service has it. */
  VARVE_DATABASE_URL: Type.String({ minLength: 1 }),

  /** Connection string of the queue: redis://… or postgres://…. */
  VARVE_QUEUE_URL: Type.String({ minLength: 1 }),

  /** The token that all services share for the internal API. At least 16 characters. */
  VARVE_CATALOG_TOKEN: Type.String({ minLength: 16 }),

  /** Address the internal API listens on. Loopback unless said otherwise: it is not for the public. */
  VARVE_CATALOG_HOST: Type.String({ default: '127.0.0.1', minLength: 1 }),

  /** Port the internal API listens on; 0 for any free one. */
  VARVE_CATALOG_PORT: Type.Integer({ default: 7410, minimum: 0, maximum: 65_535 }),

  /** Ranges of one run in the queue at most. Several times the workers' total concurrency, so that they never wait for the catalog. */
  VARVE_RANGE_WINDOW: Type.Integer({ default: 32, minimum: 1, maximum: 10_000 }),

  /** Ranges of all runs in the queue at most. Bounds the queue's memory; runs share it by their priority. */
  VARVE_QUEUE_WINDOW: Type.Integer({ default: 256, minimum: 1, maximum: 100_000 }),

  /** Seconds without a sign of life (workers give several a second) after which a range is given to another worker. */
  VARVE_RANGE_SILENCE: Type.Integer({ default: 15, minimum: 2, maximum: 3600 }),

  /** Seconds below which no range counts as slow. Slow ones are given to a second worker once a run has no others left. */
  VARVE_RANGE_SLOW: Type.Integer({ default: 20, minimum: 1, maximum: 86_400 }),

  /** Seconds between two looks for runs whose step gives no sign of life. */
  VARVE_RECONCILE_INTERVAL: Type.Integer({ default: 30, minimum: 1, maximum: 3600 }),

  /** Seconds without a sign of life after which a step's job is queued again. */
  VARVE_RECONCILE_SILENCE: Type.Integer({ default: 60, minimum: 1, maximum: 86_400 }),

  /** Hours after its end that a run keeps its ranges, objects and attempts; then only what is still asked for stays. */
  VARVE_COMPACT_AFTER_HOURS: Type.Integer({ default: 24, minimum: 1, maximum: 87_600 }),

  /** Database connections at most. */
  VARVE_DATABASE_CONNECTIONS: Type.Integer({ default: 16, minimum: 2, maximum: 500 }),

  ...SERVICE_SETTINGS,
})
export type CatalogConfig = Readonly<Static<typeof CatalogConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadCatalogConfig(env: NodeJS.ProcessEnv): CatalogConfig {
  return loadConfig(CatalogConfig, env)
}
