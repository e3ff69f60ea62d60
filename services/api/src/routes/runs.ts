import type { ApiContext, App } from '../api-context.ts'
import { IdParams, listOf, refTo } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'
import { RunSchema, RunsQuery } from '../schemas/run.ts'

export function runRoutes(app: App, { catalog, watch, showRun }: ApiContext): void {
  app.get(
    '/runs',
    {
      schema: {
        tags: ['runs'],
        summary: 'List runs, newest first',
        querystring: RunsQuery,
        response: { 200: listOf(RunSchema), ...errorAnswers() },
      },
    },
    async request => ({ items: (await catalog.listRuns(request.query)).map(showRun) }),
  )

  app.get(
    '/runs/:id',
    {
      schema: {
        tags: ['runs'],
        summary: 'One run',
        params: IdParams,
        response: { 200: refTo(RunSchema), ...errorAnswers({ 404: 'No such run.' }) },
      },
    },
    async request => showRun(await catalog.getRun(request.params.id)),
  )

  app.post(
    '/runs/:id/cancel',
    {
      schema: {
        tags: ['runs'],
        summary: 'Cancel a run',
        description:
          'Work in flight stops, snapshot and lease are released, then the run ends as `cancelled`. A run that has ended stays as it is. Takes no body.',
        params: IdParams,
        response: {
          202: { ...refTo(RunSchema), description: 'Will be cancelled' },
          ...errorAnswers({ 404: 'No such run.' }),
        },
      },
    },
    async (request, reply) => {
      const run = await catalog.cancelRun(request.params.id)
      watch.nudge()
      return reply.code(202).send(showRun(run))
    },
  )
}
