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

  /** For `s3://`: where the server is, e.g. `http://127.0.0.1:9000`. */
  VARVE_S3_ENDPOINT: Type.String({ default: '' }),
  VARVE_S3_REGION: Type.String({ default: 'us-east-1' }),
  VARVE_S3_ACCESS_KEY: Type.String({ default: '' }),
  VARVE_S3_SECRET_KEY: Type.String({ default: '' }),

  /** Worker threads that read, and that write; 0: one a core, at most two. */
  VARVE_LANES: Type.Integer({ default: 0, minimum: 0, maximum: 64 }),

  VARVE_LOG_LEVEL: Type.Enum([...LOG_LEVELS], { default: 'info' }),
})
export type StandaloneConfig = Readonly<Static<typeof StandaloneConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadStandaloneConfig(env: NodeJS.ProcessEnv = process.env): StandaloneConfig {
  return loadConfig(StandaloneConfig, env)
}
