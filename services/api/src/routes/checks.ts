import type { Check, CheckWithFindings } from '@varve/catalog-client'
import type { ApiContext, App } from '../api-context.ts'
import { checkAnswer, checkRowAnswer, leaksAnswer } from '../check-answers.ts'
import { CheckBody, CheckRowSchema, CheckSchema, ChecksQuery, LeaksSchema } from '../schemas/check.ts'
import { IdParams, listOf, refTo } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'

export function checkRoutes(app: App, { catalog }: ApiContext): void {
  app.post(
    '/checks',
    {
      schema: {
        tags: ['checks'],
        summary: 'Check the invariants, or look for leaks',
        description:
          'A maintenance process takes it up within a second or so. It reads the catalog, the listings of platforms and repository, and with `all` the block map of every restore point. With `sweep` it takes away what is owned by nobody.',
        body: CheckBody,
        response: { 202: { ...refTo(CheckRowSchema), description: 'Will be done' }, ...errorAnswers() },
      },
    },
    async (request, reply) => {
      const { scope, sweep = false } = request.body
      return reply.code(202).send(checkRowAnswer(await catalog.createCheck({ scope, sweep })))
    },
  )

  app.get(
    '/checks',
    {
      schema: {
        tags: ['checks'],
        summary: 'List checks, newest first, without findings',
        querystring: ChecksQuery,
        response: { 200: listOf(CheckRowSchema), ...errorAnswers() },
      },
    },
    async request => ({ items: (await catalog.listChecks(request.query)).map(checkRowAnswer) }),
  )

  app.get(
    '/checks/:id',
    {
      schema: {
        tags: ['checks'],
        summary: 'One check, with its progress or its findings',
        params: IdParams,
        response: { 200: refTo(CheckSchema), ...errorAnswers({ 404: 'No such check.' }) },
      },
    },
    async request => checkAnswer(await catalog.getCheck(request.params.id)),
  )

  app.get(
    '/leaks',
    {
      schema: {
        tags: ['checks'],
        summary: 'What is owned by no run',
        description: 'By the newest checks that are done. `POST /v1/checks` with scope `leaks` looks anew.',
        response: { 200: refTo(LeaksSchema), ...errorAnswers() },
      },
    },
    async () => {
      const [queued, running, [asked], [all], periodic] = await Promise.all([
        catalog.listChecks({ state: 'queued', limit: 1 }),
        catalog.listChecks({ state: 'running', limit: 1 }),
        catalog.listChecks({ state: 'done', periodic: false, limit: 1 }),
        catalog.listChecks({ state: 'done', scope: 'all', limit: 1 }),
        catalog.listChecks({ state: 'done', periodic: true, limit: 200 }),
      ])
      // One of all is whole, also when nobody asked for it.
      const [whole] = [asked, all].filter(check => check !== undefined).sort((a, b) => b.createdAt.localeCompare(a.createdAt))
      const since = periodic.filter(check => whole === undefined || check.createdAt > whole.createdAt)
      const later = since.filter((check, at) => at === 0 || (check.summary?.swept ?? 0) > 0).reverse()
      const read = (check: Check): Promise<CheckWithFindings> => catalog.getCheck(check.id)
      return leaksAnswer(
        whole === undefined ? null : await read(whole),
        await Promise.all(later.map(read)),
        queued.length + running.length > 0,
      )
    },
  )
}
