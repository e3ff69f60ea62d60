import { CatalogError, type RangeResult } from '@varve/catalog-client'
import { expectOwnObjects, type Report, type ReportAnswer, reportHash, storeReports } from './complete-range.ts'
import type { Database } from './database.ts'
import { noRange } from './ranges.ts'

/** Reports of one transaction. */
const BATCH = 32
/** Ranges under way whose run is remembered; of others it is looked up. */
const REMEMBERED = 20_000

interface Waiting {
  readonly report: Report
  readonly settle: (answer: ReportAnswer | Error) => void
}

/**
 * Takes reports about ranges. All of a run count in the same rows, so that they are written one after the other whatever one does; those that come while one is being
 * written are therefore written together with the next, with one lock and one flush for all of them. Many workers on one huge disk cost no more than on many.
 */
export class ReportBatches {
  readonly #db: Database
  readonly #onReport: (runId: string) => void
  readonly #runs = new Map<string, string>()
  /** By run, as long as one of its reports is being written. */
  readonly #waiting = new Map<string, Waiting[]>()

  /** `onReport`: told of the run once reports are durable. */
  constructor(db: Database, onReport: (runId: string) => void = () => {}) {
    this.#db = db
    this.#onReport = onReport
  }

  /** An attempt at this range of this run has begun; its report is likely to come here. */
  expect(rangeId: string, runId: string): void {
    if (this.#runs.size >= REMEMBERED) this.#runs.clear()
    this.#runs.set(rangeId, runId)
  }

  async complete(id: string, attemptId: string, result: RangeResult): Promise<{ accepted: boolean }> {
    expectOwnObjects(id, attemptId, result.objects)
    const runId = this.#runs.get(id) ?? (await this.#runOf(id))
    const report: Report = { id, attemptId, result, hash: reportHash(result) }
    const answer = await new Promise<ReportAnswer | Error>(settle => this.#add(runId, { report, settle }))
    if (answer instanceof Error) throw answer
    this.#runs.delete(id)
    return { accepted: answer }
  }

  async #runOf(rangeId: string): Promise<string> {
    const { rows } = await this.#db.query<{ run_id: string }>(`select run_id from varve.ranges where id = $1`, [rangeId])
    if (rows[0] === undefined) throw noRange(rangeId)
    return rows[0].run_id
  }

  #add(runId: string, one: Waiting): void {
    const others = this.#waiting.get(runId)
    if (others !== undefined) others.push(one)
    else {
      this.#waiting.set(runId, [one])
      void this.#writeAll(runId)
    }
  }

  /** One batch after the other until nothing waits any more. Never fails: whoever waits hears what came of it. */
  async #writeAll(runId: string): Promise<void> {
    for (;;) {
      const batch = this.#waiting.get(runId)?.splice(0, BATCH) ?? []
      if (batch.length === 0) break
      const answers = await this.#write(batch.map(one => one.report))
      if (answers.includes(true)) this.#onReport(runId)
      for (const [at, { settle }] of batch.entries()) settle(answers[at]!)
    }
    this.#waiting.delete(runId)
  }

  /** What one of them is refused for must not cost the others: then each by itself. */
  async #write(reports: readonly Report[]): Promise<(ReportAnswer | Error)[]> {
    try {
      return await storeReports(this.#db, reports)
    } catch (error) {
      if (reports.length === 1) return [error instanceof Error ? error : new CatalogError('CATALOG_FAULT', String(error))]
    }
    const answers: (ReportAnswer | Error)[] = []
    for (const report of reports) answers.push(...(await this.#write([report])))
    return answers
  }
}
