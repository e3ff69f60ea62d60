import type { AddressInfo } from 'node:net'
import type { QueueDoor } from '@varve/queue'
import { Closer, type Logger, type Metrics, Readiness, waitFor } from '@varve/runtime'
import { catalogMethods } from './catalog-methods.ts'
import { endedRunsCounter, queueCounts, registerCatalogMetrics } from './catalog-metrics.ts'
import { ChangeFeed } from './change-feed.ts'
import { startCompactor } from './compactor.ts'
import { asCatalogError, Database } from './database.ts'
import { Dispatcher } from './dispatch/dispatcher.ts'
import { buildHttp } from './http.ts'
import { startListener } from './listener.ts'
import { migrate, waitForDatabase } from './migrations.ts'
import { startReconciler } from './reconciler.ts'
import { Relay } from './relay.ts'
import { RunSignals } from './run-signals.ts'

export interface CatalogServiceOptions {
  readonly databaseUrl: string
  /** Where jobs go. The caller opened it and closes it, after this service. Its counts are for the metrics. */
  readonly queue: Pick<QueueDoor, 'add'> & Partial<Pick<QueueDoor, 'counts'>>
  /** Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** The token that all services share. */
  readonly token: string
  /** Ranges of one run in the queue at most. Default 32. */
  readonly window?: number
  /** Ranges in the queue at most, in all. Default 256. */
  readonly queueWindow?: number
  /** Seconds without a sign of life after which a range is given to another worker. Default 15. */
  readonly rangeSilenceS?: number
  /** Seconds below which no range counts as slow. Default 20. */
  readonly slowRangeS?: number
  /** Seconds between two looks for runs without a sign of life. Default 30. */
  readonly reconcileIntervalS?: number
  /** Seconds without a sign of life after which a step's job is queued again. Default 60. */
  readonly silenceS?: number
  /** Hours after its end that a run keeps its ranges, objects and attempts. Default 24. */
  readonly compactAfterHours?: number
  /** Database connections at most, the one that listens not counted. Default 16. */
  readonly connections?: number
  readonly log: Logger
  /** Of `database`, which is set here, and whatever else the caller sets. */
  readonly readiness?: Readiness
  readonly metrics?: Metrics
  /** Gives up waiting for the database. */
  readonly signal?: AbortSignal
}

export interface CatalogService {
  /** `http://host:port` for `createCatalogClient`. */
  readonly url: string
  close(): Promise<void>
}

/** Wait for the database, bring its schema up to date, then serve the internal API, relay jobs and look after silent runs. */
export async function startCatalogService(options: CatalogServiceOptions): Promise<CatalogService> {
  const { databaseUrl, log } = options
  const window = options.window ?? 32
  await waitForDatabase(databaseUrl, log, options.signal)
  // It may go away again in between.
  const isPassing = (error: unknown): boolean => asCatalogError(error).code === 'CATALOG_UNREACHABLE'
  await waitFor('database', () => migrate(databaseUrl, log), { log, isPassing })

  const closer = new Closer()
  try {
    const db = new Database(databaseUrl, options.connections ?? 16, log)
    closer.add('database', () => db.close())
    const { metrics, readiness = new Readiness(['database']) } = options
    readiness.set('database', () => db.query('select 1'))
    if (metrics !== undefined) registerCatalogMetrics(metrics, db, options.queue)

    const relay = new Relay(db, options.queue, log)
    relay.start()
    closer.add('relay', () => relay.close())

    const rangeSilenceS = options.rangeSilenceS ?? 15
    const dispatcher = new Dispatcher(
      db,
      { window, queueWindow: options.queueWindow ?? 256, silenceS: rangeSilenceS, slowS: options.slowRangeS ?? 20 },
      log,
    )
    dispatcher.start()
    closer.add('dispatcher', () => dispatcher.close())

    const feed = new ChangeFeed(db)
    const listener = startListener(
      databaseUrl,
      {
        onOutbox: () => relay.wake(),
        onDispatch: cause => dispatcher.wake(cause === 'ranges' ? 'ranges' : 'runs'),
        onChange: runId => feed.changed(runId),
        onConnected: () => {
          relay.wake()
          dispatcher.wake('runs')
          feed.catchUp().catch(error => log.warn({ err: error }, 'catching up with changes failed'))
        },
      },
      log,
    )
    closer.add('listener', () => listener.close())

    const intervalS = options.reconcileIntervalS ?? 30
    const reconciler = startReconciler(db, { intervalS, silenceS: options.silenceS ?? 60 }, log)
    closer.add('reconciler', () => reconciler.close())

    const compactor = startCompactor(db, { afterHours: options.compactAfterHours ?? 24 }, log)
    closer.add('compactor', () => compactor.close())

    const signals = new RunSignals(db, log)
    closer.add('signals', () => signals.close())

    const methods = catalogMethods(
      db,
      metrics === undefined ? undefined : endedRunsCounter(metrics),
      rise => log.warn(rise, 'a platform has too much to do; its limits are halved'),
      {
        onProgress: runId => signals.moved(runId),
        onReport: runId => {
          signals.moved(runId)
          dispatcher.wake('ranges')
        },
      },
      rangeSilenceS,
    )
    const app = buildHttp(methods, { feed, token: options.token, log, readiness, metrics, queueCounts: () => queueCounts(options.queue) })
    closer.add('http', () => app.close())
    closer.add('change feed', () => feed.close())
    await app.listen(options.listen)
    const { address, family, port } = app.server.address() as AddressInfo
    const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
    log.info({ url, window }, 'catalog is ready')
    return { url, close: () => closer.close() }
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}
