import { LOG_LEVELS, loadConfig, type Static, Type } from '@varve/runtime'

const BlockWriterConfig = Type.Object({
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

  /** Threads, and so ranges at the same time; 0: one a core, at most two. Each takes about 200 MB. */
  VARVE_LANES: Type.Integer({ default: 0, minimum: 0, maximum: 64 }),

  VARVE_LOG_LEVEL: Type.Enum([...LOG_LEVELS], { default: 'info' }),
})
export type BlockWriterConfig = Readonly<Static<typeof BlockWriterConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadBlockWriterConfig(env: NodeJS.ProcessEnv): BlockWriterConfig {
  return loadConfig(BlockWriterConfig, env)
}
