import { type Logger, sleep } from '@varve/runtime'
import { BullQueueDoor } from './bull-queue-door.ts'
import { QueueError } from './errors.ts'
import { openPostgresBackend } from './postgres-backend.ts'
import type { QueueDoor } from './queue.ts'
import type { QueueBackend } from './queue-backend.ts'
import { openRedisBackend } from './redis-backend.ts'

export interface QueueOptions {
  readonly log: Logger
  /** Prefix of all names in the server (default `varve`); two installations may share one server under different prefixes. */
  readonly prefix?: string
  /** How often a failing job is delivered in all (default 5, at least 3: both servers may deliver again what succeeded). */
  readonly attempts?: number
  /** Pause after the first failure, ms; doubled after each further one (default 1000). */
  readonly backoffMs?: number
  /** A worker that is silent for this long has lost its job, ms (default 30 000; renewed at half). */
  readonly lockDurationMs?: number
  /** How often workers look for lost jobs, ms (default 15 000). */
  readonly stalledIntervalMs?: number
  /**
   * How many times a job may be lost with its worker before it counts as failed (default 20: rolling restarts are not the
   * job's fault, but one that kills every worker must end).
   */
  readonly maxStalls?: number
  /** How long failed jobs stay to be looked at, seconds (default 7 days). */
  readonly keepFailedSeconds?: number
  /** Time limit of opening, with retries, ms (default 10 000). */
  readonly connectMs?: number
  /** Time limit of one `add` or `counts`, with retries, ms (default 15 000). */
  readonly callMs?: number
  /** Postgres only: connections of the one pool (default 16). Each worker holds one. */
  readonly poolSize?: number
}

/** Pause between attempts to open, ms. */
const OPEN_RETRY_MS = 250

/**
 * Open the queues in the server of `url`: `redis://[user:password@]host:port/db`, `rediss://…`, `postgres://user@host/db` or over a unix
 * socket `postgres://user@/db?host=/socket/dir`. On Postgres BullMQ's schema is created or brought up to date; any number of
 * processes may do this at once. Waits up to `connectMs` for a server that is still starting.
 *
 * @throws QueueError QUEUE_URL_INVALID, QUEUE_UNREACHABLE, QUEUE_REFUSED
 */
export async function openQueue(url: string, options: QueueOptions): Promise<QueueDoor> {
  const prefix = options.prefix ?? 'varve'
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(prefix)) throw new QueueError('QUEUE_URL_INVALID', `a queue prefix is [a-z][a-z0-9-]*, not ${prefix}`)
  const connectMs = options.connectMs ?? 10_000
  const deadline = performance.now() + connectMs
  for (;;) {
    try {
      return new BullQueueDoor(await openBackend(url, { ...options, prefix, connectMs }), options)
    } catch (error) {
      const again = error instanceof QueueError && error.retryable && performance.now() + OPEN_RETRY_MS < deadline
      if (!again) throw error
      await sleep(OPEN_RETRY_MS)
    }
  }
}

function openBackend(url: string, options: QueueOptions & { prefix: string; connectMs: number }): Promise<QueueBackend> {
  if (/^rediss?:\/\//.test(url)) return openRedisBackend(url, options)
  if (/^postgres(ql)?:\/\//.test(url)) return openPostgresBackend(url, { ...options, poolSize: options.poolSize ?? 16 })
  throw new QueueError('QUEUE_URL_INVALID', 'a queue URL starts with redis://, rediss:// or postgres://')
}
