import Type, { type Static } from 'typebox'
import type { Closer } from './closer.ts'
import { showConfig } from './config.ts'
import { startHealthServer } from './health-server.ts'
import { createLogger, LOG_LEVELS, type Logger } from './log.ts'
import { Metrics } from './metrics.ts'
import { Readiness } from './readiness.ts'
import { runProcess } from './run-process.ts'

/** Settings of every service process, for `Type.Object({ ...SERVICE_SETTINGS, … })`. */
export const SERVICE_SETTINGS = {
  /** `host:port` that answers /healthz, /readyz and /metrics, without a login; empty: none. For the machine's or cluster's own network only. */
  VARVE_HEALTH_LISTEN: Type.String({ default: '' }),

  /** Seconds that a stop may take: jobs under way end, or are handed back. Keep it below what the orchestrator waits before it kills. */
  VARVE_STOP_SECONDS: Type.Integer({ default: 20, minimum: 1, maximum: 3600 }),

  VARVE_LOG_LEVEL: Type.Enum([...LOG_LEVELS], { default: 'info' }),
}
const ServiceConfig = Type.Object(SERVICE_SETTINGS)
export type ServiceConfig = Readonly<Static<typeof ServiceConfig>>

/** Of the time that a stop may take, what handing jobs back and closing connections needs, ms. */
const HAND_BACK_MS = 7000

export interface ServiceParts<Config extends ServiceConfig> {
  readonly config: Config
  readonly closer: Closer
  readonly log: Logger
  /** Of the names given; each is set as soon as it is open. */
  readonly readiness: Readiness
  readonly metrics: Metrics
  /** How long jobs under way may go on when the service stops, ms; then they are handed back. */
  readonly graceMs: number
}

export interface ServiceOptions<Config extends ServiceConfig> {
  readonly readConfig: () => Config
  /** Names of what it needs, for /readyz. */
  readonly needs: readonly string[]
}

/**
 * The `main.ts` of a service: `--show-config` prints its settings and ends; else the health server starts, then `open` builds everything, waiting
 * for what is not there yet, until a signal ends it all in reverse order.
 */
export function runService<Config extends ServiceConfig>(
  name: string,
  { readConfig, needs }: ServiceOptions<Config>,
  open: (parts: ServiceParts<Config>) => Promise<void>,
): Promise<void> {
  return runProcess(async (closer, stopWithin) => {
    const config = readConfig()
    if (process.argv.includes('--show-config')) {
      console.log(showConfig(config))
      return
    }
    stopWithin(config.VARVE_STOP_SECONDS)
    const log = createLogger(name, config.VARVE_LOG_LEVEL)
    const readiness = new Readiness(needs, { starting: true })
    const metrics = Metrics.ofProcess(name)
    if (config.VARVE_HEALTH_LISTEN !== '') {
      const health = await startHealthServer({ listen: config.VARVE_HEALTH_LISTEN, readiness, metrics, log })
      closer.add('health server', () => health.close())
    }
    const graceMs = Math.max(config.VARVE_STOP_SECONDS * 1000 - HAND_BACK_MS, 0)
    await open({ config, closer, log, readiness, metrics, graceMs })
    // Not before: what it needs may answer while it does not listen yet.
    readiness.started()
    log.info('ready')
  })
}
