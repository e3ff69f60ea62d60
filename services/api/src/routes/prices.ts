import { Type } from '@varve/runtime'
import type { ApiContext, App } from '../api-context.ts'
import { PricesAnswer, PricesSchema } from '../schemas/cost.ts'
import { errorAnswers } from '../schemas/error.ts'

export function priceRoutes(app: App, { catalog }: ApiContext): void {
  app.get(
    '/repository/prices',
    { schema: { tags: ['repository'], summary: 'What the repository costs', response: { 200: PricesAnswer, ...errorAnswers() } } },
    async () => pricesAnswer(await catalog.getPrices()),
  )

  app.put(
    '/repository/prices',
    {
      schema: {
        tags: ['repository'],
        summary: 'Set what the repository costs',
        description: 'All prices at once; what costs nothing is 0. Previews and runs are priced by them from then on, those of before too.',
        body: PricesSchema,
        response: { 200: PricesAnswer, ...errorAnswers() },
      },
    },
    async request => {
      await catalog.setPrices(request.body)
      return pricesAnswer(request.body)
    },
  )

  app.delete(
    '/repository/prices',
    {
      schema: {
        tags: ['repository'],
        summary: 'Forget what the repository costs',
        response: { 204: Type.Null({ description: 'No prices are set' }), ...errorAnswers() },
      },
    },
    async (_request, reply) => {
      await catalog.setPrices(null)
      return reply.code(204).send(null)
    },
  )
}

function pricesAnswer(prices: Awaited<ReturnType<ApiContext['catalog']['getPrices']>>) {
  return { prices: prices === null ? null : { ...prices } }
}
