import type { Logger } from '@varve/runtime'
import { type ConnectionOptions, createRedisBackend } from 'bullmq'
import { Redis, type RedisOptions } from 'ioredis'
import { QueueError } from './errors.ts'
import { redactError } from './plain-text.ts'
import type { QueueBackend } from './queue-backend.ts'

/** Longest pause between two attempts to reconnect, ms. */
const RECONNECT_MAX_MS = 2000

/**
 * Two connections: one for `add` and counts, whose commands fail after a few seconds, so that `add` can say QUEUE_UNREACHABLE; one
 * for workers, whose commands wait for the server to come back, as BullMQ demands. Each worker adds one for blocking.
 */
export async function openRedisBackend(url: string, options: { prefix: string; log: Logger; connectMs: number }): Promise<QueueBackend> {
  const shared = {
    lazyConnect: true,
    connectTimeout: Math.min(options.connectMs, 10_000),
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 6), RECONNECT_MAX_MS),
    enableReadyCheck: true,
  } satisfies RedisOptions
  const producer = new Redis(url, { ...shared, maxRetriesPerRequest: 2, commandTimeout: 5000 })
  const worker = new Redis(url, { ...shared, maxRetriesPerRequest: null })
  let lastError: unknown
  for (const redis of [producer, worker]) {
    redis.on('error', error => {
      lastError = error
      options.log.debug({ err: redactError(error) }, 'redis connection')
    })
  }
  try {
    await Promise.all([producer.connect(), worker.connect()])
    // ioredis goes on in database 0 when it can't have the one of the URL; here that is an error.
    await producer.select(producer.options.db ?? 0)
  } catch (error) {
    producer.disconnect()
    worker.disconnect()
    // A failed connect only says "Connection is closed."; why was an event.
    const cause = redactError(/connection is closed/i.test(String(error)) ? (lastError ?? error) : error)
    const refused = /NOAUTH|WRONGPASS|NOPERM|invalid password|DB index/i.test(cause.message)
    throw new QueueError(
      refused ? 'QUEUE_REFUSED' : 'QUEUE_UNREACHABLE',
      `the Redis queue can't be opened: ${cause.message}`,
      {},
      { cause },
    )
  }
  return {
    kind: 'redis',
    // BullMQ types its own ioredis; ours is the same major version.
    producerConnection: producer as unknown as ConnectionOptions,
    workerConnection: worker as unknown as ConnectionOptions,
    factory: createRedisBackend,
    keyPrefix: options.prefix,
    queueName: name => name,
    idlePollSeconds: 5,
    sweep: async () => {},
    close: async () => {
      producer.disconnect()
      worker.disconnect()
    },
  }
}
