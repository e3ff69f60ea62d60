import { loadConfig, SERVICE_SETTINGS, type Static, Type } from '@varve/runtime'

const ApiConfig = Type.Object({
  /** Bearer token that callers must send. Anyone who has it can restore over VMs: make it long and random. */
  VARVE_API_TOKEN: Type.String({ minLength: 16, maxLength: 512, pattern: '^[\\x21-\\x7e]+$' }),

  /** Address to listen at. Only this machine by default; put TLS in front before opening it. */
  VARVE_API_HOST: Type.String({ default: '127.0.0.1', minLength: 1 }),

  /** Port to listen at; 0 for any free one. */
  VARVE_API_PORT: Type.Integer({ default: 7300, minimum: 0, maximum: 65_535 }),

  /** The catalog service. */
  VARVE_CATALOG_URL: Type.String({ minLength: 8 }),

  /** The token that all services share for the internal API. */
  VARVE_CATALOG_TOKEN: Type.String({ minLength: 16 }),

  /** Folder of the built dashboard. Empty: the one of this checkout, if built. */
  VARVE_DASHBOARD_DIR: Type.String({ default: '' }),

  /** Seconds after which a platform's list of VMs is read again when somebody asks for it. */
  VARVE_INVENTORY_MAX_AGE: Type.Integer({ default: 30, minimum: 5, maximum: 86_400 }),

  /** Event streams that one process keeps open; each costs a socket. */
  VARVE_API_MAX_STREAMS: Type.Integer({ default: 200, minimum: 1, maximum: 10_000 }),

  ...SERVICE_SETTINGS,
})
export type ApiConfig = Readonly<Static<typeof ApiConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadApiConfig(env: NodeJS.ProcessEnv): ApiConfig {
  return loadConfig(ApiConfig, env)
}
