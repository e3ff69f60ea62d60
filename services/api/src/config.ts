import { LOG_LEVELS, loadConfig, type Static, Type } from '@varve/runtime'

const ApiConfig = Type.Object({
  /** Bearer token that callers must send. Anyone who has it can restore over VMs: make it long and random. */
  VARVE_API_TOKEN: Type.String({ minLength: 16, maxLength: 512, pattern: '^[\\x21-\\x7e]+$' }),

  /** Address to listen at, host:port. Only this machine by default; put TLS in front before opening it. */
  VARVE_API_LISTEN: Type.String({ default: '127.0.0.1:7300', pattern: '^.+:[0-9]{1,5}$' }),

  /** The catalog service. */
  VARVE_CATALOG_URL: Type.String({ minLength: 8 }),

  /** Token of the catalog service. */
  VARVE_CATALOG_TOKEN: Type.String({ minLength: 1 }),

  /** Folder of the built dashboard. Empty: the one of this checkout, if built. */
  VARVE_DASHBOARD_DIR: Type.String({ default: '' }),

  /** Seconds after which a platform's list of VMs is read again when somebody asks for it. */
  VARVE_INVENTORY_MAX_AGE: Type.Integer({ default: 300, minimum: 5, maximum: 86_400 }),

  /** Event streams that one process keeps open; each costs a socket. */
  VARVE_API_MAX_STREAMS: Type.Integer({ default: 200, minimum: 1, maximum: 10_000 }),

  VARVE_LOG_LEVEL: Type.Enum([...LOG_LEVELS], { default: 'info' }),
})
export type ApiConfig = Readonly<Static<typeof ApiConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadApiConfig(env: NodeJS.ProcessEnv): ApiConfig {
  return loadConfig(ApiConfig, env)
}

/** `host:port`, `[::1]:port` as host and port. */
export function listenAddress(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(text.slice(at + 1)) }
}
