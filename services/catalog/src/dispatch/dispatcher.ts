import { type Logger, sleep } from '@varve/runtime'
import type { Database, Sql } from '../database.ts'
import { type DispatchPlan, planDispatch } from './dispatch-plan.ts'
import { queueRanges, releaseRuns } from './give-out.ts'
import { queueSilent, queueSlow } from './ranges-again.ts'
import { readDispatch } from './read-dispatch.ts'

/** Without being woken: a wake-up may be lost with a connection, and time itself makes attempts silent and ranges slow. */
const TICK_MS = 2000
/** Between two passes, so that what happens close together is one. */
const GATHER_MS = 5
/** Another instance is at it, and may not have seen what woke this one. */
const BUSY_MS = 20
const BACKOFF_MAX_MS = 5000
const LOCK = `hashtextextended('varve dispatch', 0)`

export interface DispatchSettings {
  /** Ranges of one run in the queue at most. */
  readonly window: number
  /** Ranges in the queue at most, in all. */
  readonly queueWindow: number
  /** Seconds without a sign of life after which a range is given to another worker. */
  readonly silenceS: number
  /** Seconds below which no range counts as slow. */
  readonly slowS: number
}

/** `ranges`: there may be room for ranges. `runs`: for runs, too. `attempts`: those are looked at, too. */
export type DispatchCause = 'ranges' | 'runs' | 'attempts'

/**
 * One pass: read, decide, write, in one transaction, by one instance at a time.
 *
 * @returns what was given out; null when another instance is at it
 */
export async function dispatch(
  db: Database,
  settings: DispatchSettings,
  cause: DispatchCause,
  now = Date.now(),
): Promise<DispatchPlan | null> {
  return db.transaction(async sql => {
    if (!(await lock(sql))) return null
    const read = await readDispatch(sql, cause !== 'ranges')
    const plan = planDispatch({ ...read, window: settings.window, queueWindow: settings.queueWindow, now })
    await releaseRuns(sql, plan.release)
    await queueRanges(sql, plan.queue)
    return plan
  })
}

/** Ranges whose worker is silent or slow. Apart from the other pass: it locks ranges that reports may be about. */
export async function dispatchAgain(db: Database, settings: DispatchSettings): Promise<{ silent: string[]; slow: string[] } | null> {
  return db.transaction(async sql => {
    if (!(await lock(sql))) return null
    const silent = await queueSilent(sql, settings.silenceS)
    const { rows } = await sql.query<{ queued: number }>(
      `select coalesce(sum(i.ranges_queued), 0)::integer as queued from varve.runs r join varve.images i on i.run_id = r.id
        where r.released_at is not null and r.ended_at is null and r.state = 'copying'`,
    )
    const room = settings.queueWindow - (rows[0]?.queued ?? 0)
    return { silent, slow: await queueSlow(sql, { ...settings, room }) }
  })
}

async function lock(sql: Sql): Promise<boolean> {
  const { rows } = await sql.query<{ locked: boolean }>(`select pg_try_advisory_xact_lock(${LOCK}) as locked`)
  return rows[0]?.locked === true
}

/** Gives out runs and ranges as there is room for them. Runs in every instance of the catalog. */
export class Dispatcher {
  readonly #db: Database
  readonly #settings: DispatchSettings
  readonly #log: Logger
  readonly #stop = new AbortController()
  #pending = new Set<DispatchCause>()
  #wake: () => void = () => {}
  #done: Promise<void> = Promise.resolve()
  /** Since when signs of life could reach the catalog, as far as this instance knows. */
  #hearingSince = Number.POSITIVE_INFINITY
  #tickedAt = Number.NEGATIVE_INFINITY

  constructor(db: Database, settings: DispatchSettings, log: Logger) {
    this.#db = db
    this.#settings = settings
    this.#log = log
  }

  start(): void {
    this.#pending = new Set<DispatchCause>(['runs'])
    this.#done = this.#loop()
  }

  /** There may be room: look now. */
  wake(cause: DispatchCause): void {
    this.#pending.add(cause)
    this.#wake()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake()
    await this.#done
  }

  async #loop(): Promise<void> {
    let failing = 0
    while (!this.#stop.signal.aborted) {
      if (performance.now() - this.#tickedAt >= TICK_MS) this.#pending.add('attempts')
      const causes = this.#pending
      this.#pending = new Set()
      try {
        const busy = causes.size > 0 && !(await this.#pass(causes))
        if (failing > 0) this.#log.info('runs and ranges are given out again')
        failing = 0
        if (busy) for (const cause of causes) this.#pending.add(cause)
        await sleep(busy ? BUSY_MS : GATHER_MS, this.#stop.signal)
        await this.#pause()
      } catch (error) {
        if (this.#stop.signal.aborted) return
        if (failing === 0) this.#log.error({ err: error }, 'runs and ranges cannot be given out; trying on')
        failing += 1
        for (const cause of causes) this.#pending.add(cause)
        this.#hearingSince = Number.POSITIVE_INFINITY
        await sleep(Math.min(50 * 2 ** Math.min(failing, 10), BACKOFF_MAX_MS), this.#stop.signal).catch(() => {})
      }
    }
  }

  /** @returns false when another instance is at it */
  async #pass(causes: ReadonlySet<DispatchCause>): Promise<boolean> {
    const plan = await dispatch(this.#db, this.#settings, causes.has('attempts') || causes.has('runs') ? 'runs' : 'ranges')
    if (plan === null) return false
    if (plan.release.length + plan.queue.length > 0) this.#log.debug({ ...plan, held: plan.held.length }, 'given out')
    if (!causes.has('attempts')) return true
    // While nobody could say anything, silence says nothing.
    const now = performance.now()
    const gap = now - this.#tickedAt
    this.#tickedAt = now
    if (gap > 5 * TICK_MS || this.#hearingSince > now) this.#hearingSince = now
    if (now - this.#hearingSince < this.#settings.silenceS * 1000) return true
    const again = await dispatchAgain(this.#db, this.#settings)
    if (again === null) return false
    if (again.silent.length > 0) this.#log.warn({ ranges: again.silent }, 'ranges given out again: their workers give no sign of life')
    if (again.slow.length > 0) this.#log.info({ ranges: again.slow }, 'slow ranges given to another worker as well')
    return true
  }

  async #pause(): Promise<void> {
    if (this.#pending.size > 0 || this.#stop.signal.aborted) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, Math.max(0, this.#tickedAt + TICK_MS - performance.now()))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = () => {}
  }
}
