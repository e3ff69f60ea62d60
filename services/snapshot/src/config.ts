import { LOG_LEVELS, loadConfig, type Static, Type } from '@varve/runtime'

const SnapshotConfig = Type.Object({
  /** The catalog service. */
  VARVE_CATALOG_URL: Type.String({ minLength: 8 }),

  /** Token that all services share. */
  VARVE_CATALOG_TOKEN: Type.String({ minLength: 1 }),

  /** `redis://…` or `postgres://…`. */
  VARVE_QUEUE_URL: Type.String({ minLength: 8 }),

  /** `file:///folder` or `s3://bucket/prefix`. */
  VARVE_REPOSITORY_URL: Type.String({ minLength: 8 }),

  /** For `s3://`: where the server is, and how to log in. */
  VARVE_S3_ENDPOINT: Type.String({ default: '' }),
  VARVE_S3_REGION: Type.String({ default: 'us-east-1' }),
  VARVE_S3_ACCESS_KEY: Type.String({ default: '' }),
  VARVE_S3_SECRET_KEY: Type.String({ default: '' }),

  /** Jobs of each kind at the same time. They wait for the platform most of the time. */
  VARVE_CONCURRENCY: Type.Integer({ default: 4, minimum: 1, maximum: 64 }),

  /** Seconds between two rounds of renewing leases. Platforms advise one to two minutes at most; a first lease lives for 120 s. */
  VARVE_LEASE_RENEW_SECONDS: Type.Integer({ default: 20, minimum: 1, maximum: 60 }),

  /** Lifetime that each renewal asks for, seconds: as long an outage of Varve as no run is lost in. The platform allows 60 to 7200. */
  VARVE_LEASE_SECONDS: Type.Integer({ default: 300, minimum: 60, maximum: 7200 }),

  /** Seconds between two readings of the platforms' lists of VMs; 0 leaves it to the api. */
  VARVE_INVENTORY_SECONDS: Type.Integer({ default: 60, minimum: 0, maximum: 86_400 }),

  VARVE_LOG_LEVEL: Type.Enum([...LOG_LEVELS], { default: 'info' }),
})
export type SnapshotConfig = Readonly<Static<typeof SnapshotConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadSnapshotConfig(env: NodeJS.ProcessEnv): SnapshotConfig {
  return loadConfig(SnapshotConfig, env)
}
