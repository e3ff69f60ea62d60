import type { ApiContext, App } from '../api-context.ts'
import { pointAnswer } from '../public-answers.ts'
import { IdempotencyHeaders, IdParams, pageAnswer, pageOf, refTo } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'
import { PointSchema, PointsQuery } from '../schemas/point.ts'
import { RestoreBody, RunSchema } from '../schemas/run.ts'

export function pointRoutes(app: App, { catalog, watch, showRun }: ApiContext): void {
  app.get(
    '/points',
    {
      schema: {
        tags: ['points'],
        summary: 'List restore points, newest first',
        querystring: PointsQuery,
        response: { 200: pageOf(PointSchema), ...errorAnswers() },
      },
    },
    async request => {
      const { vmId, ...page } = request.query
      return pageAnswer(await catalog.listPoints(vmId, page), page.limit, pointAnswer)
    },
  )

  app.get(
    '/points/:id',
    {
      schema: {
        tags: ['points'],
        summary: 'One restore point',
        params: IdParams,
        response: { 200: refTo(PointSchema), ...errorAnswers({ 404: 'No such restore point.' }) },
      },
    },
    async request => pointAnswer(await catalog.getPoint(request.params.id)),
  )

  app.post(
    '/restore-points/:id/restores',
    {
      schema: {
        tags: ['points'],
        summary: 'Restore a VM from a point',
        description: 'Answers as soon as the run is recorded; follow it like a backup.',
        params: IdParams,
        headers: IdempotencyHeaders,
        body: RestoreBody,
        response: {
          202: { ...refTo(RunSchema), description: 'Recorded' },
          ...errorAnswers({ 404: 'No such restore point.', 409: 'The VM has a run under way, or the key was used for another request.' }),
        },
      },
    },
    async (request, reply) => {
      const run = await catalog.createRestore(request.params.id, request.body, request.headers['idempotency-key'])
      watch.nudge()
      return reply.code(202).header('location', `/v1/runs/${run.id}`).send(showRun(run))
    },
  )
}
