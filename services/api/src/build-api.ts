import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { Catalog } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { Logger, Metrics } from '@varve/runtime'
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify'
import { type ApiContext, type App, runShower } from './api-context.ts'
import { tokenCheck } from './auth.ts'
import { defaultDashboardDir, serveDashboard } from './dashboard-files.ts'
import { errorAnswer } from './error-answer.ts'
import { API_ERRORS } from './errors.ts'
import { EventStreams } from './event-stream.ts'
import { createInventory, type OpenPlatform } from './inventory.ts'
import { serveOpenApi } from './openapi.ts'
import { requestCheck } from './request-check.ts'
import { checkRoutes } from './routes/checks.ts'
import { eventRoutes } from './routes/events.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'
import { platformRoutes } from './routes/platforms.ts'
import { pointRoutes } from './routes/points.ts'
import { previewRoutes } from './routes/previews.ts'
import { priceRoutes } from './routes/prices.ts'
import { runRoutes } from './routes/runs.ts'
import { vmRoutes } from './routes/vms.ts'
import { RUN_HELP } from './run-help.ts'
import { RunWatch } from './run-watch.ts'
import { CheckRowSchema, CheckSchema, FindingSchema, LeaksSchema } from './schemas/check.ts'
import { ErrorSchema } from './schemas/error.ts'
import { PlatformSchema, SyncSchema } from './schemas/platform.ts'
import { PointSchema } from './schemas/point.ts'
import { RunSchema } from './schemas/run.ts'
import { VmSchema } from './schemas/vm.ts'

export interface ApiDeps {
  readonly catalog: Catalog
  readonly openPlatform: OpenPlatform
  /** What callers must send as bearer token. */
  readonly token: string
  readonly log: Logger
  /** Served at /metrics, to who has the token; requests are counted there. */
  readonly metrics?: Metrics
  /** The built dashboard (default: the one of this checkout); not built: a line of text at `/`. */
  readonly dashboardDir?: string
  /** What to do by error code, beyond what the api knows: shown with failed runs. */
  readonly errorHelp?: Readonly<Record<string, string>>
  /** Seconds after which a platform's list of VMs is read again when somebody asks for VMs (default 30). */
  readonly inventoryMaxAge?: number
  /** Milliseconds between two looks at the catalog while somebody follows and its change feed is silent (default 2,000). */
  readonly watchInterval?: number
  /** Milliseconds between two signs of life on an event stream (default 15,000). */
  readonly heartbeat?: number
  /** Event streams open at the same time (default 200). */
  readonly mostStreams?: number
  readonly now?: () => number
}

const CHECK_SCHEMAS = [FindingSchema, CheckSchema, CheckRowSchema, LeaksSchema]

/** The whole HTTP application, not listening yet: tests talk to it with `inject`. */
export async function buildApi(deps: ApiDeps): Promise<App> {
  const { catalog, openPlatform, token, log, now = Date.now } = deps
  const inventory = createInventory({ catalog, openPlatform, log, maxAge: (deps.inventoryMaxAge ?? 30) * 1000, patience: 1500, now })
  const watch = new RunWatch({ catalog, log, interval: deps.watchInterval ?? 2000 })
  const streams = new EventStreams({ heartbeat: deps.heartbeat ?? 15_000, most: deps.mostStreams ?? 200 })
  const context: ApiContext = {
    catalog,
    inventory,
    watch,
    streams,
    showRun: runShower({ ...RUN_HELP, ...deps.errorHelp }, now),
  }

  const app: App = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    // One line a request at info would drown what matters; failures are logged below.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 64 * 1024,
    // A request must have arrived whole by then; streams that we answer with may last.
    requestTimeout: 30_000,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 100 },
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.setValidatorCompiler(requestCheck)
  app.setErrorHandler((error, request, reply) => {
    const { status, body } = errorAnswer(error)
    if (status === 500) request.log.error({ err: error, method: request.method, url: request.url }, 'request failed')
    else if (status > 500) request.log.warn({ ...errorReport(error), url: request.url }, 'request failed')
    else request.log.debug({ code: body.code, method: request.method, url: request.url }, 'request refused')
    return reply.code(status).send(status === 500 ? { ...body, message: `${body.message} (request ${request.id})` } : body)
  })
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      code: 'ROUTE_NOT_FOUND',
      message: `no ${request.method} ${request.url.split('?')[0]?.slice(0, 200)}`,
      retryable: false,
      help: API_ERRORS.ROUTE_NOT_FOUND.help,
    }),
  )
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'x-frame-options': 'DENY' })
  })
  // Streams would keep `close` waiting for ever.
  app.addHook('preClose', async () => {
    watch.close()
    streams.close()
  })

  for (const schema of [ErrorSchema, PlatformSchema, SyncSchema, VmSchema, RunSchema, PointSchema, ...CHECK_SCHEMAS]) app.addSchema(schema)
  await serveOpenApi(app)
  healthRoutes(app, context, now)
  if (deps.metrics !== undefined) metricsRoute(app, deps.metrics, token)
  app.register(
    async v1 => {
      v1.addHook('onRequest', tokenCheck(token))
      v1.addHook('onRequest', async (_request, reply) => {
        reply.header('cache-control', 'no-store')
      })
      const routes = v1.withTypeProvider<TypeBoxTypeProvider>()
      platformRoutes(routes, context)
      vmRoutes(routes, context)
      runRoutes(routes, context)
      pointRoutes(routes, context)
      previewRoutes(routes, context)
      priceRoutes(routes, context)
      checkRoutes(routes, context)
      eventRoutes(routes, context)
    },
    { prefix: '/v1' },
  )
  serveDashboard(app, deps.dashboardDir ?? defaultDashboardDir())
  await app.ready()
  return app
}
