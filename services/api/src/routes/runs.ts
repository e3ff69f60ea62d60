import type { ApiContext, App } from '../api-context.ts'
import { IdParams, pageAnswer, pageOf, refTo } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'
import { RunSchema, RunsQuery } from '../schemas/run.ts'

const HOLDING = {
  pause: {
    summary: 'Pause a run',
    description:
      'No part of a disk is read or written until it is resumed; what is under way is handed back within seconds. Preparing and sealing, once begun, end first. ' +
      'Snapshot and lease are kept, so a paused run holds its VM on the platform. Twice is once; a paused run can be cancelled. Takes no body.',
    done: 'Is paused',
  },
  resume: { summary: 'Resume a paused run', description: 'A run that is not paused stays as it is. Takes no body.', done: 'Goes on' },
} as const

export function runRoutes(app: App, { catalog, watch, showRun }: ApiContext): void {
  app.get(
    '/runs',
    {
      schema: {
        tags: ['runs'],
        summary: 'List runs, newest first',
        querystring: RunsQuery,
        response: { 200: pageOf(RunSchema), ...errorAnswers() },
      },
    },
    async request => pageAnswer(await catalog.listRuns(request.query), request.query.limit, showRun),
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

  for (const action of ['pause', 'resume'] as const) {
    const { summary, description, done } = HOLDING[action]
    app.post(
      `/runs/:id/${action}`,
      {
        schema: {
          tags: ['runs'],
          summary,
          description,
          params: IdParams,
          response: {
            202: { ...refTo(RunSchema), description: done },
            ...errorAnswers({ 404: 'No such run.', ...(action === 'pause' ? { 409: 'The run is finishing or has ended.' } : {}) }),
          },
        },
      },
      async (request, reply) => {
        const { id } = request.params as { id: string }
        const run = await (action === 'pause' ? catalog.pauseRun(id) : catalog.resumeRun(id))
        watch.nudge()
        return reply.code(202).send(showRun(run))
      },
    )
  }
}
