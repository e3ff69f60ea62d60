import type { BackendFactory, ConnectionOptions } from 'bullmq'
import type { JobName } from './queue.ts'

/** What differs between the two servers. Everything that BullMQ hides is above it, in `bull-queue.ts`. */
export interface QueueBackend {
  readonly kind: 'redis' | 'postgres'
  /** BullMQ's constructor arguments. The producer's connection gives up after a while, the worker's waits for ever. */
  readonly producerConnection: ConnectionOptions
  readonly workerConnection: ConnectionOptions
  readonly factory: BackendFactory
  /** Prefix of the keys, Redis only: Postgres has a schema of its own. */
  readonly keyPrefix: string | undefined
  queueName(name: JobName): string
  /** Seconds that an idle worker waits for a wake-up before it looks by itself; bounds what a lost wake-up costs. */
  readonly idlePollSeconds: number
  /** Throw away what BullMQ leaves behind in the server for queues that went idle. */
  sweep(): Promise<void>
  close(): Promise<void>
}
