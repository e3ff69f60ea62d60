import { randomUUID } from 'node:crypto'
import type { Platform } from '@varve/catalog-client'
import { Type } from '@varve/runtime'
import type { ApiContext, App } from '../api-context.ts'
import { ApiError } from '../errors.ts'
import type { Inventory } from '../inventory.ts'
import { IdParams, listOf, refTo } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'
import { NewPlatformSchema, type PlatformAnswer, PlatformPatch, PlatformSchema, SyncSchema } from '../schemas/platform.ts'

const PLATFORM_FAULTS = {
  422: 'Address or credentials are wrong.',
  502: 'The platform does not answer as a platform should.',
  503: 'The platform does not answer.',
}

export function platformRoutes(app: App, { catalog, inventory }: ApiContext): void {
  app.get(
    '/platforms',
    { schema: { tags: ['platforms'], summary: 'List platforms', response: { 200: listOf(PlatformSchema), ...errorAnswers() } } },
    async () => ({ items: (await catalog.listPlatforms()).map(platform => platformAnswer(platform, inventory)) }),
  )

  app.post(
    '/platforms',
    {
      schema: {
        tags: ['platforms'],
        summary: 'Add a platform',
        description: 'Logs in first; only a connection that works is stored. Then its list of VMs is read.',
        body: NewPlatformSchema,
        response: {
          201: { ...refTo(PlatformSchema), description: 'Added' },
          ...errorAnswers({ 409: 'A platform of this name exists.', ...PLATFORM_FAULTS }),
        },
      },
    },
    async (request, reply) => {
      const { name, kind, credentials, transport } = request.body
      const url = platformUrl(request.body.url)
      await inventory.prove({ id: randomUUID(), kind, url, credentials, transport })
      const platform = await catalog.addPlatform({ name, kind, url, credentials, transport })
      // The platform is added whatever becomes of the first reading; GET tells what became of it.
      await inventory.sync(platform.id).catch(() => {})
      return reply.code(201).header('location', `/v1/platforms/${platform.id}`).send(platformAnswer(platform, inventory))
    },
  )

  app.patch(
    '/platforms/:id',
    {
      schema: {
        tags: ['platforms'],
        summary: 'Change the limits of a platform',
        description: 'Only what is given changes. It holds for whatever is given out from now on; what is under way goes on.',
        params: IdParams,
        body: PlatformPatch,
        response: { 200: refTo(PlatformSchema), ...errorAnswers({ 404: 'No such platform.' }) },
      },
    },
    async request => platformAnswer(await catalog.setPlatformLimits(request.params.id, request.body.limits), inventory),
  )

  app.delete(
    '/platforms/:id',
    {
      schema: {
        tags: ['platforms'],
        summary: 'Remove a platform',
        description: 'Its restore points stay in the repository.',
        params: IdParams,
        response: {
          204: Type.Null({ description: 'Removed' }),
          ...errorAnswers({ 404: 'No such platform.', 409: 'It has runs under way.' }),
        },
      },
    },
    async (request, reply) => {
      await catalog.deletePlatform(request.params.id)
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/platforms/:id/sync',
    {
      schema: {
        tags: ['platforms'],
        summary: 'Read the list of VMs now',
        description: 'Happens by itself when the list is old; this waits until it is done.',
        params: IdParams,
        response: { 200: refTo(SyncSchema), ...errorAnswers({ 404: 'No such platform.', ...PLATFORM_FAULTS }) },
      },
    },
    async request => inventory.sync(request.params.id),
  )
}

function platformAnswer(platform: Platform, inventory: Inventory): PlatformAnswer {
  const { id, name, kind, url, transport, createdAt, limits, pressure } = platform
  return {
    id,
    name,
    kind,
    url,
    transport: transport ?? null,
    createdAt,
    limits: { ...limits },
    pressure: { ...pressure },
    inventory: { ...inventory.lastReading(id) },
  }
}

/** @throws ApiError PLATFORM_ADDRESS_INVALID */
function platformUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const plain = url !== undefined && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  if (!plain || !(url.protocol === 'http:' || url.protocol === 'https:')) {
    throw new ApiError('PLATFORM_ADDRESS_INVALID', 'the address of the platform is not a plain http or https URL')
  }
  return url.href.replace(/\/+$/, '')
}
