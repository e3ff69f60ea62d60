import type { StoreSettings } from '@varve/repository'
import { SERVICE_SETTINGS, type Static, Type } from '@varve/runtime'

/** Settings of an S3 store, for `Type.Object({ ...S3_SETTINGS, … })`. */
export const S3_SETTINGS = {
  /** For `s3://`: where the server is, e.g. `http://127.0.0.1:9000`, and how to log in. */
  VARVE_S3_ENDPOINT: Type.String({ default: '' }),
  VARVE_S3_REGION: Type.String({ default: 'us-east-1' }),
  VARVE_S3_ACCESS_KEY: Type.String({ default: '' }),
  VARVE_S3_SECRET_KEY: Type.String({ default: '' }),

  /** Seconds that one request to the store may take, its body included. */
  VARVE_S3_TIMEOUT_SECONDS: Type.Integer({ default: 120, minimum: 1, maximum: 3600 }),

  /** Make the bucket when it is missing. */
  VARVE_S3_CREATE_BUCKET: Type.Boolean({ default: false }),
}

/** Settings of every process that works with catalog and repository. */
export const REPOSITORY_SETTINGS = {
  /** The catalog service. */
  VARVE_CATALOG_URL: Type.String({ minLength: 8 }),

  /** Token that all services share. */
  VARVE_CATALOG_TOKEN: Type.String({ minLength: 1 }),

  /** `file:///folder` or `s3://bucket/prefix`. */
  VARVE_REPOSITORY_URL: Type.String({ minLength: 8 }),

  ...S3_SETTINGS,

  /** Seconds that a task of a platform may go without progress before it counts as one that never ends. */
  VARVE_TASK_STALL_SECONDS: Type.Integer({ default: 600, minimum: 1, maximum: 86_400 }),

  ...SERVICE_SETTINGS,
}

/** Settings of every worker that is a process of its own. */
export const WORKER_SETTINGS = {
  ...REPOSITORY_SETTINGS,

  /** `redis://…` or `postgres://…`. */
  VARVE_QUEUE_URL: Type.String({ minLength: 8 }),

  /** Seconds after which the job of a worker that is silent goes to another one; those that live renew at half of it. */
  VARVE_QUEUE_LOCK_SECONDS: Type.Integer({ default: 30, minimum: 2, maximum: 3600 }),
}

/** Settings of workers on ranges. */
export const LANE_SETTINGS = {
  /** Threads, and so ranges at the same time; 0: one a core, at most two. Each takes about 100 MB. */
  VARVE_LANES: Type.Integer({ default: 0, minimum: 0, maximum: 64 }),

  /** Backups to a repository that compresses with zstd: 1 is fastest; 3 takes 1.7 times the processor time for files that are 7 % smaller, higher levels more of both. */
  VARVE_ZSTD_LEVEL: Type.Integer({ default: 1, minimum: 1, maximum: 19 }),

  /** Restores: requests to the repository at the same time, in each thread; more help where it is far away, and take up to 4 MiB each. */
  VARVE_GETS_IN_FLIGHT: Type.Integer({ default: 4, minimum: 1, maximum: 64 }),

  /** Seconds without any progress after which a range is given up and tried again. */
  VARVE_STALL_SECONDS: Type.Integer({ default: 300, minimum: 10, maximum: 86_400 }),
}

type Values<Settings extends Readonly<Record<string, Parameters<typeof Type.Object>[0][string]>>> = Readonly<
  Static<ReturnType<typeof Type.Object<Settings>>>
>
export type S3Config = Values<typeof S3_SETTINGS>
export type RepositoryConfig = Values<typeof REPOSITORY_SETTINGS>
export type WorkerConfig = Values<typeof WORKER_SETTINGS>
export type LaneConfig = Values<typeof LANE_SETTINGS>

export function storeSettingsOf(config: S3Config): StoreSettings {
  return {
    ...(config.VARVE_S3_ENDPOINT === '' ? {} : { endpoint: config.VARVE_S3_ENDPOINT }),
    region: config.VARVE_S3_REGION,
    accessKey: config.VARVE_S3_ACCESS_KEY,
    secretKey: config.VARVE_S3_SECRET_KEY,
    createBucket: config.VARVE_S3_CREATE_BUCKET,
    requestTimeout: config.VARVE_S3_TIMEOUT_SECONDS * 1000,
  }
}

/** As `startRangeWorker` takes them. */
export function laneOptionsOf(config: LaneConfig): {
  readonly lanes?: number
  readonly getsInFlight: number
  readonly zstdLevel: number
  readonly stallMs: number
} {
  return {
    ...(config.VARVE_LANES === 0 ? {} : { lanes: config.VARVE_LANES }),
    getsInFlight: config.VARVE_GETS_IN_FLIGHT,
    zstdLevel: config.VARVE_ZSTD_LEVEL,
    stallMs: config.VARVE_STALL_SECONDS * 1000,
  }
}
