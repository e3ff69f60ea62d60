import { randomUUID } from 'node:crypto'
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import type { Logger } from '@varve/runtime'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  fastify,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify'
import type { Faults } from '../faults/faults.ts'
import { addHttpFaults } from '../faults/http-faults.ts'
import { errorAnswer, errorEnvelope, successEnvelope } from './envelope.ts'
import { parseJsonBody } from './json-body.ts'

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set once the call is authenticated. */
    user: string
    /** The body as it came, for signatures and `X-Client-Token`. */
    rawBody: string
  }
}

/** The HTTP server without any route: envelopes, JSON, errors. Handlers return the `data` of the envelope. */
export function createApp(options: { readonly bodyLimit: number; readonly log: Logger; readonly faults: Faults }): App {
  const app = fastify({
    bodyLimit: options.bodyLimit,
    forceCloseConnections: true,
    // A request that trickles in must not hold its connection for ever.
    requestTimeout: 60_000,
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: 300 },
    frameworkErrors: (error, request, reply) => {
      const { status, code, message } = errorAnswer(error)
      void (reply as FastifyReply).status(status).send(errorEnvelope(pathOf(request.url), status, code, message))
    },
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  app.decorateRequest('user', '')
  app.decorateRequest('rawBody', '')

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
    request.rawBody = String(text)
    try {
      done(null, parseJsonBody(request.rawBody))
    } catch (error) {
      done(error as Error)
    }
  })

  // Before the envelope, whose data it changes.
  if (options.faults.enabled) addHttpFaults(app, options.faults)
  app.addHook('preSerialization', async (request, reply, payload) => {
    return reply.statusCode < 400 ? successEnvelope(pathOf(request.url), payload) : payload
  })
  app.setErrorHandler((error, request, reply) => {
    const { status, code, message } = errorAnswer(error)
    if (status >= 500) options.log.error({ err: error, method: request.method, path: pathOf(request.url) }, 'call failed')
    const retryAfter = (error as { context?: { retryAfter?: unknown } }).context?.retryAfter
    if (typeof retryAfter === 'number') reply.header('retry-after', retryAfter)
    return reply.status(status).send(errorEnvelope(pathOf(request.url), status, code, message))
  })
  app.setNotFoundHandler((request, reply) =>
    reply
      .status(404)
      .send(errorEnvelope(pathOf(request.url), 404, 'ROUTE_NOT_FOUND', `no such call: ${request.method} ${pathOf(request.url)}`)),
  )
  app.addHook('onResponse', async (request, reply) => {
    options.log.debug(
      {
        method: request.method,
        path: pathOf(request.url),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        user: request.user,
      },
      'call',
    )
  })
  return app
}

export function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}
