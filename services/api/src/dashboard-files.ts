import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { App } from './api-context.ts'

/** Only our own files and our own API; nothing inline, nothing from elsewhere, nobody may frame us. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Serve the built dashboard at `/`. Not built: a page that says how. */
export function serveDashboard(app: App, dir: string): void {
  if (!existsSync(join(dir, 'index.html'))) {
    app.get('/', { schema: { hide: true } }, async (_request, reply) =>
      reply.type('text/plain; charset=utf-8').send('Varve API. The dashboard is not built here: run "npm run build". API: /docs\n'),
    )
    return
  }
  app.register(fastifyStatic, {
    root: dir,
    prefix: '/',
    wildcard: false,
    index: 'index.html',
    schemaHide: true,
    setHeaders(reply, path) {
      reply.header('content-security-policy', CONTENT_SECURITY_POLICY)
      // Built files carry a hash in their name; the page that names them must be asked for each time.
      reply.header('cache-control', path.endsWith('.html') ? 'no-cache' : 'public, max-age=31536000, immutable')
    },
  })
}

/** Where the dashboard of this checkout is when it is built: beside the api's own folder. */
export function defaultDashboardDir(): string {
  return fileURLToPath(new URL('../../dashboard/dist', import.meta.url))
}
