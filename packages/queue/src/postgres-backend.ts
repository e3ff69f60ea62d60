import type { Logger } from '@varve/runtime'
import {
  type BackendFactory,
  type ConnectionOptions,
  createPostgresBackend,
  runMigrations,
  SchemaVersionMismatchError,
  UnsupportedPostgresVersionError,
} from 'bullmq'
import pg from 'pg'
import { marked } from './connection-loss.ts'
import { QueueError } from './errors.ts'
import { redactError } from './plain-text.ts'
import type { QueueBackend } from './queue-backend.ts'

/** Where BullMQ's tables live. A pool given to BullMQ can't choose another name. */
const SCHEMA = 'bullmq'

/** Events are only for QueueEvents, which we never use; BullMQ trims them only while a queue is busy. */
const EVENT_AGE_MS = 60 * 60 * 1000

/**
 * One pool per process for all queues and workers. BullMQ holds one of its connections per worker for LISTEN.
 */
export async function openPostgresBackend(
  url: string,
  options: { prefix: string; log: Logger; connectMs: number; poolSize: number },
): Promise<QueueBackend> {
  if (/[?&]options=/.test(url)) throw new QueueError('QUEUE_URL_INVALID', 'the queue URL must not carry an `options` parameter')
  const pool = new QueuePool({
    connectionString: url,
    options: `-c search_path=${SCHEMA}`,
    application_name: 'varve-queue',
    max: options.poolSize,
    keepAlive: true,
    connectionTimeoutMillis: options.connectMs,
    idleTimeoutMillis: 30_000,
  })
  pool.setMaxListeners(0)
  pool.on('error', error => options.log.debug({ err: redactError(error) }, 'idle queue connection lost'))
  try {
    const client = await pool.connect()
    try {
      // Serialised by an advisory lock: any number of processes may start at once.
      await runMigrations(client, SCHEMA)
    } finally {
      client.release()
    }
  } catch (error) {
    await pool.end().catch(() => {})
    const cause = redactError(error)
    const refused = isRefusal(error)
    throw new QueueError(
      refused ? 'QUEUE_REFUSED' : 'QUEUE_UNREACHABLE',
      `the Postgres queue can't be opened: ${cause.message}`,
      {},
      { cause },
    )
  }
  return {
    kind: 'postgres',
    producerConnection: pool as unknown as ConnectionOptions,
    workerConnection: pool as unknown as ConnectionOptions,
    factory: createPostgresBackend as unknown as BackendFactory,
    keyPrefix: undefined,
    queueName: name => `${options.prefix}-${name}`,
    idlePollSeconds: 2,
    sweep: async () => {
      await pool.query('delete from event where starts_with(queue, $1) and created_at_ms < $2', [
        `${options.prefix}-`,
        Date.now() - EVENT_AGE_MS,
      ])
    },
    close: () => pool.end(),
  }
}

/** Wrong password, unknown database, no right: waiting doesn't help. */
function isRefusal(error: unknown): boolean {
  if (error instanceof SchemaVersionMismatchError || error instanceof UnsupportedPostgresVersionError) return true
  const state = (error as { code?: unknown }).code
  return typeof state === 'string' && /^(28|3D|42501)/.test(state)
}

/** A pool that tells BullMQ of lost connections in the one way it understands. */
class QueuePool extends pg.Pool {
  constructor(config: pg.PoolConfig) {
    super(config)
    const query = this.query.bind(this) as (...args: unknown[]) => Promise<unknown>
    const connect = this.connect.bind(this) as (...args: unknown[]) => Promise<unknown>
    Object.assign(this, {
      query: (...args: unknown[]) => marked(query(...args)),
      // With a callback it is pg's own call from inside `query`.
      connect: (...args: unknown[]) => (args.length > 0 ? connect(...args) : marked(connect())),
    })
  }
}
