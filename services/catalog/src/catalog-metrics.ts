import { PRESSURE_MAX } from '@varve/catalog-client'
import { JOB_NAMES, type QueueDoor } from '@varve/queue'
import type { Metrics, Sample } from '@varve/runtime'
import type { Database } from './database.ts'
import type { EndedRun } from './endings.ts'
import { pressureAt, type StoredPressure } from './pressure.ts'

/** What only the catalog sees of the whole: runs by state, what waits in the outbox and in the queues. Any instance answers the same but for the counter. */
export function registerCatalogMetrics(metrics: Metrics, db: Database, queue: Partial<Pick<QueueDoor, 'counts'>>): void {
  metrics.gauge('varve_runs_active', 'Runs under way, by state.', ['kind', 'state'], async () => {
    const { rows } = await db.query<{ kind: string; state: string; count: number }>(
      `select kind, state, count(*) from varve.runs where ended_at is null group by 1, 2`,
    )
    return rows.map(({ kind, state, count }) => ({ labels: { kind, state }, value: count }))
  })
  metrics.gauge('varve_platform_pressure', 'Platforms under pressure, by how many times their limits are halved.', ['level'], async () => {
    const { rows } = await db.query<StoredPressure & { now: string }>(
      `select pressure, pressure_at, pressure_reason, clock_timestamp() as now from varve.platforms where pressure > 0`,
    )
    const levels = rows.map(row => pressureAt(row, row.now).level)
    return Array.from({ length: PRESSURE_MAX }, (_, i): Sample => {
      const level = i + 1
      return { labels: { level: String(level) }, value: levels.filter(l => l === level).length }
    })
  })
  metrics.gauge('varve_outbox_age_seconds', 'Age of the oldest job that is not in the queue yet.', [], async () => {
    const { rows } = await db.query<{ age: number }>(
      `select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as age from varve.outbox`,
    )
    return [{ labels: {}, value: rows[0]?.age ?? 0 }]
  })
  metrics.gauge('varve_queue_jobs', 'Jobs in the queues, by state.', ['queue', 'state'], async () =>
    Object.entries(await queueCounts(queue)).flatMap(([name, { work: _, ...states }]) =>
      Object.entries(states).map(([state, value]): Sample => ({ labels: { queue: name, state }, value })),
    ),
  )
}

export interface QueueCounts {
  readonly waiting: number
  readonly active: number
  readonly delayed: number
  readonly failed: number
  /** What waits or is worked on: the number to scale workers by. */
  readonly work: number
}

/** Of every queue, by name. */
export async function queueCounts(queue: Partial<Pick<QueueDoor, 'counts'>>): Promise<Record<string, QueueCounts>> {
  const counts = await Promise.all(
    JOB_NAMES.map(async name => {
      const of = await queue.counts?.(name)
      return of === undefined ? undefined : ([name, { ...of, work: of.waiting + of.active + of.delayed }] as const)
    }),
  )
  return Object.fromEntries(counts.filter(entry => entry !== undefined))
}

/** Counts runs as they end; each is counted once, by the instance that closed it. */
export function endedRunsCounter(metrics: Metrics): (run: EndedRun) => void {
  const counter = metrics.counter('varve_runs_ended_total', 'Runs that ended, by outcome.', ['kind', 'outcome'])
  const bound = metrics.counter('varve_runs_bottleneck_total', 'Runs that ended, by what most of the time of their ranges went to.', [
    'kind',
    'bottleneck',
  ])
  return ({ kind, outcome, bottleneck }) => {
    counter.inc({ kind, outcome })
    if (bottleneck !== null) bound.inc({ kind, bottleneck })
  }
}
