import { createCatalogClient } from '@varve/catalog-client'
import { type JobName, openQueue } from '@varve/queue'
import { createLogger } from '@varve/runtime'
import type { Histogram, HistogramData } from './histogram.ts'
import type { Night } from './night-plan.ts'
import { type Event, simulatedWork } from './simulated-work.ts'
import { timed } from './timed-calls.ts'

/** A process full of simulated workers; what it needs comes as JSON in its first argument, what it saw goes to its parent. */
export interface WorkerSettings {
  readonly catalogUrl: string
  readonly token: string
  readonly redisUrl: string
  readonly night: Night
  readonly rangeMs: number
  readonly concurrency: Partial<Record<JobName, number>>
}
export type WorkerMessage =
  | { readonly events: readonly Event[] }
  | { readonly calls: Readonly<Record<string, HistogramData>> }
  | { readonly ready: true }

const settings = JSON.parse(process.argv[2] ?? '{}') as WorkerSettings
const log = createLogger('simulated-worker', 'error')
const say = (message: WorkerMessage): Promise<void> => new Promise(resolve => process.send!(message, undefined, undefined, () => resolve()))

const times = new Map<string, Histogram>()
const client = createCatalogClient({ url: settings.catalogUrl, token: settings.token, connections: 32 })
const events: Event[] = []
const work = simulatedWork({ ...settings, catalog: timed(client, times), tell: event => void events.push(event) })
const queue = await openQueue(settings.redisUrl, { log })
for (const [name, concurrency] of Object.entries(settings.concurrency) as [JobName, number][]) {
  const handler = work[name] as (payload: unknown) => Promise<void>
  await queue.work(
    name,
    async job => {
      await handler(job.payload).catch(error => {
        log.error({ job: name, err: error }, 'a simulated job failed')
        throw error
      })
    },
    { concurrency },
  )
}
const telling = setInterval(() => void say({ events: events.splice(0) }), 500)
await say({ ready: true })

process.once('message', async () => {
  clearInterval(telling)
  await queue.close()
  await client.close()
  await say({ events: events.splice(0) })
  await say({ calls: Object.fromEntries([...times].map(([name, histogram]) => [name, histogram.data()])) })
  process.disconnect()
})
