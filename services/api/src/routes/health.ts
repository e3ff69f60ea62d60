import { sleep, Type } from '@varve/runtime'
import type { ApiContext, App } from '../api-context.ts'

const Ok = Type.Object({ status: Type.Literal('ok') })
const NotReady = Type.Object({ status: Type.Literal('not-ready') })

/** Asked often and without a token, so the answer is kept this long and tells nothing. */
const KEEP_MS = 1000
const WAIT_MS = 2000

export function healthRoutes(app: App, { catalog }: ApiContext, now: () => number): void {
  let asked: { at: number; ready: Promise<boolean> } | undefined

  function ready(): Promise<boolean> {
    if (asked === undefined || now() - asked.at >= KEEP_MS) {
      asked = {
        at: now(),
        // The client of the catalog is patient; a load balancer is not.
        ready: Promise.race([
          catalog.listPlatforms().then(
            () => true,
            () => false,
          ),
          sleep(WAIT_MS).then(() => false),
        ]),
      }
    }
    return asked.ready
  }

  app.get(
    '/healthz',
    { schema: { tags: ['health'], summary: 'Is the process alive?', security: [], response: { 200: Ok } } },
    async () => ({
      status: 'ok' as const,
    }),
  )

  app.get(
    '/readyz',
    {
      schema: { tags: ['health'], summary: 'Can it serve: does the catalog answer?', security: [], response: { 200: Ok, 503: NotReady } },
    },
    async (_request, reply) => {
      if (await ready()) return reply.send({ status: 'ok' as const })
      return reply.code(503).send({ status: 'not-ready' as const })
    },
  )
}
