import { createLogger } from '@varve/runtime'
import { expect, test } from 'vitest'
import { buildApi } from './build-api.ts'
import { MemoryCatalog } from './testing/memory-catalog.ts'

test('the OpenAPI document is 3.1, names its schemas and describes every operation', async () => {
  const app = await buildApi({
    catalog: new MemoryCatalog().catalog,
    openPlatform: () => {
      throw new Error('not used')
    },
    token: 'a-token-of-sixteen-or-more',
    log: createLogger('api-test', 'silent'),
  })
  const document = (await app.inject({ url: '/openapi.json' })).json()
  await app.close()
  expect(document.openapi).toBe('3.1.0')
  expect(Object.keys(document.components.schemas).sort()).toEqual([
    'Check',
    'CheckRow',
    'Error',
    'Finding',
    'Inventory',
    'Leaks',
    'Platform',
    'RestorePoint',
    'Run',
    'Vm',
  ])
  const operations = Object.entries<Record<string, { summary?: string; tags?: string[]; responses: Record<string, unknown> }>>(
    document.paths,
  ).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ at: `${method} ${path}`, operation })))
  expect(operations.map(({ at }) => at).sort()).toEqual([
    'delete /v1/platforms/{id}',
    'delete /v1/repository/prices',
    'get /healthz',
    'get /readyz',
    'get /v1/checks',
    'get /v1/checks/{id}',
    'get /v1/events',
    'get /v1/leaks',
    'get /v1/platforms',
    'get /v1/points',
    'get /v1/points/{id}',
    'get /v1/repository/prices',
    'get /v1/runs',
    'get /v1/runs/{id}',
    'get /v1/runs/{id}/events',
    'get /v1/vms',
    'get /v1/vms/{id}',
    'get /v1/vms/{id}/points',
    'patch /v1/platforms/{id}',
    'post /v1/checks',
    'post /v1/platforms',
    'post /v1/platforms/{id}/sync',
    'post /v1/restore-points/{id}/restores',
    'post /v1/restore-points/{id}/restores/preview',
    'post /v1/runs/{id}/cancel',
    'post /v1/runs/{id}/pause',
    'post /v1/runs/{id}/resume',
    'post /v1/vms/{id}/backups',
    'post /v1/vms/{id}/backups/preview',
    'put /v1/repository/prices',
  ])
  for (const { at, operation } of operations) {
    expect([at, operation.summary !== undefined, operation.tags?.length]).toEqual([at, true, 1])
    if (at.includes('/v1/')) expect(operation.responses).toHaveProperty('401')
  }
  // Every reference inside the document leads somewhere.
  for (const [, name] of JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
    expect(document.components.schemas).toHaveProperty(name as string)
  }
  expect(JSON.stringify(document)).not.toMatch(/"\$ref":"(?!#\/components)/)
})
