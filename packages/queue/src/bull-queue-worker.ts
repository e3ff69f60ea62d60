import { type Logger, sleep } from '@varve/runtime'
import { type Job as BullJob, type IQueueBackend, UnrecoverableError, WaitingError, Worker } from 'bullmq'
import type { QueueOptions } from './open-queue.ts'
import { checkPayload } from './payload.ts'
import { plainText, redactError } from './plain-text.ts'
import type { JobHandler, JobName, QueueWorker } from './queue.ts'
import type { QueueBackend } from './queue-backend.ts'

/** How long handlers may take to end after their signal was aborted, ms. */
const ABORTED_MS = 5000
/** An error that a server repeats for every worker and every second is logged once in this time, ms. */
const QUIET_MS = 30_000

interface WorkerParts<Name extends JobName> {
  readonly name: Name
  readonly handler: JobHandler<Name>
  readonly concurrency: number
  readonly backend: QueueBackend
  readonly options: QueueOptions
  readonly attempts: number
  readonly log: Logger
  readonly onClosed: () => void
}

/** The one place that talks to BullMQ's Worker. */
export class BullQueueWorker<Name extends JobName> implements QueueWorker {
  readonly #parts: WorkerParts<Name>
  readonly #worker: Worker<unknown, unknown, string, IQueueBackend>
  #closing: Promise<void> | undefined
  #errorLoggedAt = Number.NEGATIVE_INFINITY

  constructor(parts: WorkerParts<Name>) {
    this.#parts = parts
    const { backend, options } = parts
    this.#worker = new Worker(
      backend.queueName(parts.name),
      // BullMQ gives a signal only to processors with three declared parameters.
      (job, token, signal) => this.#process(job, token, signal as AbortSignal),
      {
        connection: backend.workerConnection,
        ...(backend.keyPrefix === undefined ? {} : { prefix: backend.keyPrefix }),
        concurrency: parts.concurrency,
        lockDuration: options.lockDurationMs ?? 30_000,
        stalledInterval: options.stalledIntervalMs ?? 15_000,
        maxStalledCount: options.maxStalls ?? 20,
        drainDelay: backend.idlePollSeconds,
        runRetryDelay: 1000,
      },
      backend.factory,
    )
    this.#worker.on('error', error => this.#logError(error))
    this.#worker.on('stalled', jobId => parts.log.warn({ jobId }, 'a worker died or hung with this job; it is given out again'))
    this.#worker.on('lockRenewalFailed', jobIds => {
      for (const id of jobIds) this.#worker.cancelJob(id, 'the job was given to another worker')
    })
  }

  async ready(): Promise<void> {
    await this.#worker.waitUntilReady()
  }

  close(graceMs = 10_000): Promise<void> {
    this.#closing ??= this.#close(graceMs).finally(this.#parts.onClosed)
    return this.#closing
  }

  async #process(bull: BullJob, token: string | undefined, signal: AbortSignal): Promise<void> {
    const { name, handler, attempts, log } = this.#parts
    let payload: Parameters<JobHandler<Name>>[0]['payload']
    try {
      payload = checkPayload(name, bull.data)
    } catch (error) {
      log.error({ jobId: bull.id, err: redactError(error) }, 'a job with a strange payload was dropped')
      throw new UnrecoverableError(redactError(error).message)
    }
    try {
      await handler({ name, payload, attempt: bull.attemptsStarted, lastAttempt: bull.attemptsMade + 1 >= attempts }, signal)
    } catch (error) {
      if (this.#closing !== undefined && signal.aborted) {
        // Stopped, not failed: back to the queue at once, without counting as an attempt.
        await bull.moveToWait(token)
        throw new WaitingError()
      }
      throw storableError(error)
    }
  }

  async #close(graceMs: number): Promise<void> {
    const closed = this.#worker.close()
    if (await settled(closed, graceMs)) return closed
    this.#worker.cancelAllJobs('the worker is closing')
    if (await settled(closed, ABORTED_MS)) return closed
    // Its lock runs out and another worker takes the job.
    this.#parts.log.warn({ graceMs }, 'a job ignored the stop; its worker is left behind')
    await Promise.race([this.#worker.disconnect().catch(() => {}), sleep(1000)])
  }

  #logError(error: unknown): void {
    const now = performance.now()
    // While closing, broken connections are what one wants.
    const level = this.#closing === undefined && now - this.#errorLoggedAt > QUIET_MS ? 'warn' : 'debug'
    if (level === 'warn') this.#errorLoggedAt = now
    this.#parts.log[level]({ err: redactError(error) }, 'queue worker')
  }
}

/** What BullMQ stores of a failure: a bounded message that both servers can keep. The stack is in the worker's own log. */
function storableError(error: unknown): Error {
  const code = (error as { code?: unknown } | undefined)?.code
  const text = error instanceof Error ? error.message : String(error)
  const stored = new Error(plainText(typeof code === 'string' ? `${code}: ${text}` : text, 1000))
  delete stored.stack
  return stored
}

async function settled(work: Promise<unknown>, ms: number): Promise<boolean> {
  const done = work.then(
    () => true,
    () => true,
  )
  const abort = new AbortController()
  const late = sleep(ms, abort.signal).then(
    () => false,
    () => false,
  )
  const result = await Promise.race([done, late])
  abort.abort()
  return result
}
