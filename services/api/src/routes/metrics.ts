import type { Metrics } from '@varve/runtime'
import type { App } from '../api-context.ts'
import { tokenCheck } from '../auth.ts'

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Counts every request by its route, and serves the metrics of the process. Routes that stream count until the stream ends. */
export function metricsRoute(app: App, metrics: Metrics, token: string): void {
  const seconds = metrics.histogram('varve_http_request_seconds', 'Seconds to answer a request.', ['method', 'route', 'status'], SECONDS)
  app.addHook('onResponse', async (request, reply) => {
    // A path that is no route may be anything: only routes' patterns become labels.
    const route = request.routeOptions.url ?? 'none'
    seconds.observe({ method: request.method, route, status: `${Math.floor(reply.statusCode / 100)}xx` }, reply.elapsedTime / 1000)
  })
  app.get('/metrics', { onRequest: tokenCheck(token), schema: { hide: true } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  )
}
