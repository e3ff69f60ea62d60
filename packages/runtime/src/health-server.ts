import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { RuntimeError } from './errors.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Readiness } from './readiness.ts'

export interface HealthServerOptions {
  /** `host:port`, `[v6]:port`; port 0 takes a free one. */
  readonly listen: string
  readonly readiness: Readiness
  readonly metrics: Metrics
  readonly log: Logger
}

export interface HealthServer {
  /** `http://host:port`, as it can be reached from this machine. */
  readonly url: string
  close(): Promise<void>
}

/** Nobody sends more than a request line and some headers here. */
const MAX_HEADER = 8 * 1024
const TIMEOUT_MS = 5000

/**
 * What an orchestrator asks a process, on a port of its own, without a login: `/healthz` (alive), `/readyz` (its dependencies answer; 503 with
 * the list of those that do not), `/metrics` (Prometheus). Started before anything else, so that a service that waits is seen to be alive.
 *
 * @throws RuntimeError CONFIG_INVALID, LISTEN_FAILED
 */
export async function startHealthServer({ listen, readiness, metrics, log }: HealthServerOptions): Promise<HealthServer> {
  const { host, port } = parseListen(listen)
  const server = createServer({ maxHeaderSize: MAX_HEADER, requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS }, (request, reply) => {
    answer(request, reply, readiness, metrics).catch(error => {
      log.warn({ err: error, url: request.url }, 'health request failed')
      if (!reply.headersSent) reply.writeHead(500)
      reply.end()
    })
  })
  server.maxConnections = 64
  try {
    await once(server.listen(port, host), 'listening')
  } catch (cause) {
    throw new RuntimeError('LISTEN_FAILED', `cannot listen at ${listen}: ${(cause as Error).message}`, { listen }, { cause })
  }
  const { port: taken } = server.address() as AddressInfo
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  const url = `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${taken}`
  log.info({ url }, 'health server listens')
  return {
    url,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(request: IncomingMessage, reply: ServerResponse, readiness: Readiness, metrics: Metrics): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(reply, 405, { code: 'METHOD_NOT_ALLOWED' })
  switch (request.url?.split('?')[0]) {
    case '/healthz':
      return send(reply, 200, { status: 'ok' })
    case '/readyz': {
      const { ready, missing } = await readiness.report()
      return send(reply, ready ? 200 : 503, ready ? { status: 'ok' } : { status: 'not-ready', missing })
    }
    case '/metrics': {
      const text = await metrics.text()
      reply.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }).end(text)
      return
    }
    default:
      return send(reply, 404, { code: 'NOT_FOUND' })
  }
}

function send(reply: ServerResponse, status: number, body: Readonly<Record<string, unknown>>): void {
  reply.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(`${JSON.stringify(body)}\n`)
}

function parseListen(listen: string): { host: string; port: number } {
  const [, v6, host, digits] = /^(?:\[([0-9a-f:.]+)\]|([^[\]:\s]+)):(\d{1,5})$/i.exec(listen) ?? []
  const port = Number(digits)
  if (digits === undefined || port > 65_535) throw new RuntimeError('CONFIG_INVALID', `${listen} is not host:port`)
  return { host: v6 ?? host ?? '', port }
}
