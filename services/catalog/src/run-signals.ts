import type { Logger } from '@varve/runtime'
import type { Database } from './database.ts'

/** What changes close together is told once. */
const GATHER_MS = 200

/**
 * Tells whoever follows runs that some moved on a little. Apart from the transactions that moved them, and many at once: one that notifies holds a lock of the
 * whole server until it is durable, so that no other could be written to disk beside it. One that is lost with the process is a hint the less.
 */
export class RunSignals {
  readonly #db: Database
  readonly #log: Logger
  #moved = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #telling: Promise<void> = Promise.resolve()

  constructor(db: Database, log: Logger) {
    this.#db = db
    this.#log = log
  }

  moved(runId: string): void {
    this.#moved.add(runId)
    this.#timer ??= setTimeout(() => {
      this.#telling = this.#tell()
    }, GATHER_MS)
  }

  async #tell(): Promise<void> {
    this.#timer = undefined
    const moved = [...this.#moved]
    this.#moved = new Set()
    try {
      await this.#db.query(`select pg_notify('varve_changes', id) from unnest($1::text[]) as id`, [moved])
    } catch (error) {
      this.#log.debug({ err: error }, 'changes of runs could not be told')
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#telling
  }
}
