import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { Catalog, Run } from '@varve/catalog-client'
import type { FastifyBaseLogger, FastifyInstance, RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from 'fastify'
import type { EventStreams } from './event-stream.ts'
import type { Inventory } from './inventory.ts'
import { RateMeter } from './progress.ts'
import { runAnswer } from './public-answers.ts'
import type { RunWatch } from './run-watch.ts'
import type { RunAnswer } from './schemas/run.ts'

/** What the routes work with. */
export interface ApiContext {
  readonly catalog: Catalog
  readonly inventory: Inventory
  readonly watch: RunWatch
  readonly streams: EventStreams
  /** A run as the public sees it, with its rate. */
  showRun(run: Run): RunAnswer
}

/** The Fastify app whose schemas are TypeBox. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** @param errorHelp what to do, by error code */
export function runShower(errorHelp: Readonly<Record<string, string>>, now: () => number): (run: Run) => RunAnswer {
  const rates = new RateMeter()
  return run => runAnswer(run, rates.observe(run, now()), run.reason === null ? null : (errorHelp[run.reason] ?? null))
}
