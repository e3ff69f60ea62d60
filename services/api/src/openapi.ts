import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import type { App } from './api-context.ts'

const DESCRIPTION = `
Agentless backup for virtual machines: changed blocks into a repository, and back.

A first backup, from nothing:

1. \`POST /v1/platforms\` with address and credentials.
2. \`GET /v1/vms\` and choose one.
3. \`POST /v1/vms/{id}/backups\` gives a **run**; send an \`Idempotency-Key\` so that a repeated request stays one run.
4. \`GET /v1/runs/{id}/events\` tells how it goes. When it has ended \`succeeded\`, \`restorePointId\` names the new **restore point**.
5. \`POST /v1/restore-points/{id}/restores\` brings it back.

\`POST /v1/vms/{id}/backups/preview\` and \`POST /v1/restore-points/{id}/restores/preview\` tell beforehand what it would read, store, take and cost.

Times are ISO 8601 in UTC, sizes bytes, ids UUIDs. Unknown fields are refused. Every error is \`{code, message, retryable, help?}\`.
`.trim()

const DOCS_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** The OpenAPI 3.1 document at /openapi.json and its page at /docs; both tell nothing secret and need no token. */
export async function serveOpenApi(app: App): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Varve', version: '1', description: DESCRIPTION, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      servers: [{ url: '/' }],
      tags: [
        { name: 'platforms', description: 'Where VMs run' },
        { name: 'vms', description: 'What is backed up' },
        { name: 'runs', description: 'Backups and restores, under way and ended' },
        { name: 'points', description: 'What can be restored' },
        { name: 'repository', description: 'What the repository costs' },
        { name: 'checks', description: 'Do the invariants hold, is anything left behind' },
        { name: 'events', description: 'Progress as it happens' },
        { name: 'health', description: 'For load balancers' },
      ],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'VARVE_API_TOKEN' } } },
      security: [{ bearer: [] }],
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, index) => (typeof json.$id === 'string' ? json.$id : `def-${index}`) },
  })
  await app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    // Swagger UI sets styles inline; scripts come from here alone, and the page holds no token until somebody types one.
    staticCSP: DOCS_POLICY,
    uiConfig: { layout: 'BaseLayout', docExpansion: 'list', persistAuthorization: false },
  })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
}
