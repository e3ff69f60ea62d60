import { ENDED_STATES, type Run } from '@varve/catalog-client'
import { Type } from '@varve/runtime'
import type { ApiContext, App } from '../api-context.ts'
import { IdParams } from '../schemas/common.ts'
import { errorAnswers } from '../schemas/error.ts'

const STREAM = Type.String({ description: 'text/event-stream' })
const HOW =
  'Server-sent events. A stream begins with the present state, so a reader that was cut off just connects again. ' +
  'A comment line comes every 15 s as a sign of life. Browsers: use `fetch`, which can send the token; `EventSource` can not.'

export function eventRoutes(app: App, { catalog, watch, streams, showRun }: ApiContext): void {
  app.get(
    '/runs/:id/events',
    {
      schema: {
        tags: ['events'],
        summary: 'Follow one run',
        description: `${HOW}\n\nEvents: \`run\` with the whole run at each change; \`end\` with the run when it has ended, then the stream closes.`,
        params: IdParams,
        produces: ['text/event-stream'],
        response: { 200: STREAM, ...errorAnswers({ 404: 'No such run.', 503: 'Too many streams.' }) },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const first = await catalog.getRun(id)
      const stream = streams.open(reply)
      const tell = (run: Run): void => {
        const ended = ENDED_STATES.includes(run.state)
        stream.send(ended ? 'end' : 'run', run.id, showRun(run))
        if (ended) stream.end()
      }
      tell(first)
      if (!ENDED_STATES.includes(first.state)) stream.onClose(watch.watch(id, tell))
    },
  )

  app.get(
    '/events',
    {
      schema: {
        tags: ['events'],
        summary: 'Follow everything',
        description: `${HOW}\n\nEvents: \`runs\` once, with the runs under way; then \`run\` with the whole run at each change.`,
        produces: ['text/event-stream'],
        response: { 200: STREAM, ...errorAnswers({ 503: 'Too many streams.' }) },
      },
    },
    async (_request, reply) => {
      const active = await catalog.listRuns({ active: true, limit: 500 })
      const stream = streams.open(reply)
      stream.send('runs', 'runs', active.map(showRun))
      stream.onClose(watch.watch(undefined, run => stream.send('run', run.id, showRun(run))))
    },
  )
}
