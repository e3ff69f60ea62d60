import type { JobName, JobPriority, QueueDoor } from '@varve/queue'
import { type Logger, sleep } from '@varve/runtime'
import type { Database } from './database.ts'
import { jobId } from './outbox.ts'

const BATCH = 100
const POLL_MS = 1000
/** A relay that dies keeps its rows from the others no longer than this. Adding a job takes milliseconds. */
const CLAIM_S = 30
const BACKOFF_MAX_MS = 10_000

interface OutboxRow extends Record<string, unknown> {
  id: number
  job: JobName
  run_id: string
  range_id: string | null
  number: number
  priority: JobPriority
}

/**
 * Brings outbox rows to the queue. A row is claimed for a while, added, then deleted; so no transaction stays open while the queue is slow, several relays
 * share the work, and a crash in between only adds a job twice, which by its id is once. An unreachable queue is tried for ever.
 */
export class Relay {
  readonly #db: Database
  readonly #queue: Pick<QueueDoor, 'add'>
  readonly #log: Logger
  readonly #stop = new AbortController()
  #wake: () => void = () => {}
  #woken = false
  #done: Promise<void> = Promise.resolve()

  constructor(db: Database, queue: Pick<QueueDoor, 'add'>, log: Logger) {
    this.#db = db
    this.#queue = queue
    this.#log = log
  }

  start(): void {
    this.#done = this.#loop()
  }

  /** There may be rows: look now. */
  wake(): void {
    this.#woken = true
    this.#wake()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.wake()
    await this.#done
  }

  async #loop(): Promise<void> {
    let failing = 0
    while (!this.#stop.signal.aborted) {
      try {
        this.#woken = false
        const full = await this.relayBatch()
        if (failing > 0) this.#log.info('jobs reach the queue again')
        failing = 0
        if (!full) await this.#pause(POLL_MS)
      } catch (error) {
        if (this.#stop.signal.aborted) return
        // Once per outage: it may last for hours.
        if (failing === 0) this.#log.error({ err: error }, 'jobs cannot be brought to the queue; trying on')
        failing += 1
        await sleep(Math.min(100 * 2 ** Math.min(failing, 10), BACKOFF_MAX_MS), this.#stop.signal).catch(() => {})
      }
    }
  }

  /** @returns whether there may be more. */
  async relayBatch(): Promise<boolean> {
    const { rows } = await this.#db.query<OutboxRow>(
      `with claimed as (
         update varve.outbox set claimed_until = now() + make_interval(secs => $2)
          where id in (select id from varve.outbox where claimed_until < now() order by id limit $1 for update skip locked)
         returning id, job, run_id, range_id, number)
       select c.*, r.priority from claimed c join varve.runs r on r.id = c.run_id order by c.id`,
      [BATCH, CLAIM_S],
    )
    if (rows.length === 0) return false
    const settled = await Promise.allSettled(rows.map(row => this.#add(row)))
    const added = rows.filter((_, i) => settled[i]?.status === 'fulfilled').map(row => row.id)
    if (added.length > 0) await this.#db.query(`delete from varve.outbox where id = any ($1)`, [added])
    const failure = settled.find(s => s.status === 'rejected')
    if (failure !== undefined) {
      const left = rows.filter((_, i) => settled[i]?.status === 'rejected').map(row => row.id)
      await this.#db.query(`update varve.outbox set claimed_until = '-infinity' where id = any ($1)`, [left])
      throw failure.reason
    }
    return rows.length === BATCH
  }

  #add(row: OutboxRow): Promise<void> {
    const payload = row.range_id === null ? { runId: row.run_id } : { runId: row.run_id, rangeId: row.range_id }
    return this.#queue.add(row.job, payload as never, { id: jobId(row), priority: row.priority })
  }

  async #pause(ms: number): Promise<void> {
    if (this.#woken || this.#stop.signal.aborted) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = () => {}
  }
}
