import { type Logger, sleep } from '@varve/runtime'
import { type IQueueBackend, Queue } from 'bullmq'
import { BullQueueWorker } from './bull-queue-worker.ts'
import { QueueError } from './errors.ts'
import type { QueueOptions } from './open-queue.ts'
import { bullJobId, checkPayload } from './payload.ts'
import { redactError } from './plain-text.ts'
import {
  type AddOptions,
  JOB_NAMES,
  type JobHandler,
  type JobName,
  type JobPayloads,
  type JobPriority,
  type QueueDoor,
  type QueueWorker,
} from './queue.ts'
import type { QueueBackend } from './queue-backend.ts'

/** Rules that hold whatever the caller asks: fewer attempts would lose jobs that a server runs twice. */
const MIN_ATTEMPTS = 3
/** Time limit of one try inside a call, ms. */
const TRY_MS = 5000
const SWEEP_MS = 60 * 60 * 1000
/** BullMQ gives out the lower number first, and one without a number before all: so every job has one. */
const PRIORITIES: Readonly<Record<JobPriority, number>> = { high: 1, normal: 2, low: 3 }

type BullQueue = Queue<unknown, unknown, string, unknown, unknown, string, IQueueBackend>

/** The one place that talks to BullMQ's Queue. */
export class BullQueueDoor implements QueueDoor {
  readonly #backend: QueueBackend
  readonly #options: QueueOptions
  readonly #log: Logger
  readonly #attempts: number
  readonly #queues = new Map<JobName, BullQueue>()
  readonly #workers = new Set<QueueWorker>()
  readonly #sweeper: NodeJS.Timeout
  #closing: Promise<void> | undefined

  constructor(backend: QueueBackend, options: QueueOptions) {
    this.#backend = backend
    this.#options = options
    this.#log = options.log.child({ queueServer: backend.kind })
    this.#attempts = Math.max(options.attempts ?? 5, MIN_ATTEMPTS)
    this.#sweeper = setInterval(() => void this.#sweep(), SWEEP_MS).unref()
  }

  async add<Name extends JobName>(name: Name, payload: JobPayloads[Name], options: AddOptions): Promise<void> {
    const data = checkPayload(name, payload)
    const jobId = bullJobId(options.id)
    const priority = PRIORITIES[options.priority ?? 'normal']
    const delay = options.delayMs === undefined ? {} : { delay: Math.max(0, Math.ceil(options.delayMs)) }
    await this.#call(`add ${name}`, async () => {
      const queue = await this.#queue(name)
      // A failed job is kept to be looked at and would swallow the new one.
      if ((await queue.getJobState(jobId)) === 'failed') await queue.remove(jobId)
      await queue.add(name, data, { jobId, priority, ...delay })
    })
  }

  async work<Name extends JobName>(name: Name, handler: JobHandler<Name>, options: { readonly concurrency: number }): Promise<QueueWorker> {
    return this.#call(`work on ${name}`, async given => {
      const worker = new BullQueueWorker({
        name,
        handler,
        concurrency: options.concurrency,
        backend: this.#backend,
        options: this.#options,
        attempts: this.#attempts,
        log: this.#log.child({ job: name }),
        onClosed: () => this.#workers.delete(worker),
      })
      this.#workers.add(worker)
      try {
        await worker.ready()
        given.throwIfAborted()
      } catch (error) {
        await worker.close(0)
        throw error
      }
      return worker
    })
  }

  async counts(name: JobName): Promise<{ waiting: number; active: number; delayed: number; failed: number }> {
    return this.#call(`count ${name}`, async () => {
      const counts = await (await this.#queue(name)).getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'failed')
      const of = (state: string): number => counts[state] ?? 0
      return {
        waiting: of('waiting') + of('prioritized'),
        active: of('active'),
        delayed: of('delayed'),
        failed: of('failed'),
      }
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    clearInterval(this.#sweeper)
    await Promise.all([...this.#workers].map(worker => worker.close()))
    await Promise.allSettled([...this.#queues.values()].map(queue => queue.close()))
    await this.#backend.close()
  }

  /** BullMQ remembers a failed first connection for the life of a Queue, so such a one is thrown away. */
  async #queue(name: JobName): Promise<BullQueue> {
    if (!JOB_NAMES.includes(name)) throw new QueueError('QUEUE_JOB_INVALID', 'no job has this name')
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      const prefix = this.#backend.keyPrefix
      queue = new Queue(
        this.#backend.queueName(name),
        {
          connection: this.#backend.producerConnection,
          ...(prefix === undefined ? {} : { prefix }),
          streams: { events: { maxLen: 100 } },
          defaultJobOptions: {
            attempts: this.#attempts,
            backoff: { type: 'exponential', delay: this.#options.backoffMs ?? 1000, jitter: 0.2 },
            // `count` deadlocks on Postgres and re-runs jobs that succeeded; `true` also frees the id for the next add.
            removeOnComplete: true,
            removeOnFail: { age: this.#keepFailedSeconds },
            stackTraceLimit: 1,
          },
        },
        this.#backend.factory,
      )
      queue.on('error', error => this.#log.debug({ err: redactError(error) }, 'queue connection'))
      this.#queues.set(name, queue)
    }
    try {
      await queue.waitUntilReady()
    } catch (error) {
      this.#queues.delete(name)
      await queue.close().catch(() => {})
      throw error
    }
    return queue
  }

  get #keepFailedSeconds(): number {
    return this.#options.keepFailedSeconds ?? 7 * 24 * 3600
  }

  /**
   * Try until it works or the time is up. Every call here may be repeated: adds are idempotent by id. A try that takes too long is
   * given up and its signal aborted.
   */
  async #call<T>(what: string, once: (given: AbortSignal) => Promise<T>): Promise<T> {
    const deadline = performance.now() + (this.#options.callMs ?? 15_000)
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      if (this.#closing !== undefined) throw new QueueError('QUEUE_CLOSED', 'the queue door is closed')
      try {
        return await within(Math.min(TRY_MS, deadline - performance.now()), once)
      } catch (error) {
        if (error instanceof QueueError) throw error
        const cause = redactError(error)
        if (performance.now() + pause >= deadline) {
          throw new QueueError('QUEUE_UNREACHABLE', `the queue did not answer (${what}): ${cause.message}`, {}, { cause })
        }
        this.#log.debug({ err: cause, what }, 'queue call failed, trying again')
        await sleep(pause)
      }
    }
  }

  /** Old failures go even where no new job fails (BullMQ looks at their age only then). */
  async #sweep(): Promise<void> {
    try {
      for (const queue of this.#queues.values()) await queue.clean(this.#keepFailedSeconds * 1000, 1000, 'failed')
      await this.#backend.sweep()
    } catch (error) {
      this.#log.debug({ err: redactError(error) }, 'queue sweep failed, next one in an hour')
    }
  }
}

async function within<T>(ms: number, once: (given: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${Math.round(ms)} ms`)), Math.max(ms, 1))
  })
  const work = once(controller.signal)
  try {
    return await Promise.race([work, late])
  } catch (error) {
    controller.abort(error)
    work.catch(() => {})
    throw error
  } finally {
    clearTimeout(timer)
  }
}
