import { createHash, timingSafeEqual } from 'node:crypto'
import { type Catalog, CatalogError } from '@varve/catalog-client'
import { CATALOG_METHODS, type CatalogMethod, CHANGES_PATH, PREFIX, REQUEST_MAX, ROUTES } from '@varve/catalog-client/protocol'
import type { Logger, Metrics, Readiness } from '@varve/runtime'
import { type FastifyError, type FastifyInstance, type FastifyRequest, fastify } from 'fastify'
import type { ChangeFeed } from './change-feed.ts'
import { asCatalogError } from './database.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** From this status on a failure is ours, and a warning; the others are the caller's. */
const OUR_FAULT = 500

export interface HttpParts {
  readonly feed: ChangeFeed
  readonly token: string
  readonly log: Logger
  readonly readiness: Readiness
  readonly metrics: Metrics | undefined
  readonly queueCounts: () => Promise<unknown>
}

/** The internal API: one route per method of the catalog, from the list that the client uses too. */
export function buildHttp(methods: Pick<Catalog, CatalogMethod>, parts: HttpParts): FastifyInstance {
  const { feed, token, log, readiness, metrics, queueCounts } = parts
  const app = fastify({
    bodyLimit: REQUEST_MAX,
    // What does not have the form is refused, not bent into it (null would become '').
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    forceCloseConnections: true,
  })

  const wanted = digest(token)
  app.addHook('onRequest', async request => {
    if (!request.url.startsWith(PREFIX)) return
    const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    if (given === undefined || !timingSafeEqual(digest(given), wanted)) {
      throw new CatalogError('UNAUTHORIZED', 'the token of the internal API is missing or wrong')
    }
  })
  app.setErrorHandler((error: unknown, request, reply) => {
    const failure = requestFault(error) ?? asCatalogError(error)
    const level = failure.status >= OUR_FAULT ? 'warn' : 'debug'
    log[level]({ err: failure, method: request.method, url: request.url }, 'request failed')
    void reply.status(failure.status).send({ code: failure.code, message: failure.message, context: failure.context })
  })
  app.setNotFoundHandler((request, reply) => {
    void reply.status(404).send({ code: 'NOT_FOUND', message: `there is no ${request.method} ${request.url.split('?')[0]}`, context: {} })
  })

  for (const method of CATALOG_METHODS) addRoute(app, method, methods)
  app.get(CHANGES_PATH, (_request, reply) => feed.follow(reply))
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const { ready, missing } = await readiness.report()
    return reply.status(ready ? 200 : 503).send(ready ? { status: 'ok' } : { status: 'not-ready', missing })
  })
  // For autoscalers, as JSON.
  app.get('/queues', async () => queueCounts())
  if (metrics !== undefined) app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  return app
}

function addRoute(app: FastifyInstance, method: CatalogMethod, methods: Pick<Catalog, CatalogMethod>): void {
  const route = ROUTES[method]
  const call = methods[method] as (...args: unknown[]) => Promise<unknown>
  const names = [...route.path.matchAll(/:([a-z]+)/gi)].map(match => match[1]!)
  app.route({
    method: route.http,
    url: route.path,
    ...(route.schema === null ? {} : { schema: route.http === 'POST' ? { body: route.schema } : { querystring: route.schema } }),
    handler: async (request, reply) => {
      const result = await call(...pathArguments(request, names), ...namedArguments(method, request))
      if (result === undefined) return reply.status(204).send()
      if (route.answer === 'bytes') return reply.type('application/octet-stream').send(Buffer.from(result as Uint8Array))
      return reply.type('application/json').send(JSON.stringify(result))
    },
  })
}

/** Ids are UUIDs; another text names nothing. */
function pathArguments(request: FastifyRequest, names: readonly string[]): string[] {
  return names.map(name => {
    const value = (request.params as Record<string, string>)[name] ?? ''
    if (!UUID.test(value)) throw new CatalogError('NOT_FOUND', `there is no ${value.slice(0, 100)}`, { [name]: value.slice(0, 100) })
    return value
  })
}

function namedArguments(method: CatalogMethod, request: FastifyRequest): unknown[] {
  const { args, http } = ROUTES[method]
  if (http === 'POST') return args.map(name => (request.body as Record<string, unknown>)[name])
  const query = request.query as Record<string, string>
  if (query.vmId !== undefined && !UUID.test(query.vmId)) throw new CatalogError('NOT_FOUND', 'there is no such VM', { vmId: query.vmId })
  const page = { limit: query.limit === undefined ? undefined : Number(query.limit), after: query.after }
  switch (method) {
    case 'listRuns':
      return [{ vmId: query.vmId, kind: query.kind, active: query.active === undefined ? undefined : query.active === 'true', ...page }]
    case 'listPoints':
      return [query.vmId, page]
    case 'listVms':
      return [page]
    default:
      return args.map(name => query[name])
  }
}

/** Fastify's own errors: a body too large, not JSON, or not of the schema. */
function requestFault(error: unknown): CatalogError | null {
  if (error instanceof CatalogError || !(error instanceof Error)) return null
  const { statusCode, validation } = error as FastifyError
  if (validation === undefined && !(statusCode !== undefined && statusCode >= 400 && statusCode < 500)) return null
  return new CatalogError('BAD_REQUEST', error.message, {}, { cause: error })
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
