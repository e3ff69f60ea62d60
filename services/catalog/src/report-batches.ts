import { CatalogError, type RangeResult } from '@varve/catalog-client'
import { expectOwnObjects, type Report, type ReportAnswer, reportHash, storeReports } from './complete-range.ts'
import type { Database } from './database.ts'
import { noRange } from './ranges.ts'

/** Reports of one transaction. */
const BATCH = 32
/** Ranges under way whose place is remembered; of others it is looked up. */
const REMEMBERED = 20_000

interface Waiting {
  readonly report: Report
  readonly settle: (answer: ReportAnswer | Error) => void
}

interface Place {
  readonly imageId: string
  readonly runId: string
}

/**
 * Takes reports about ranges. All of a disk count in the same row, so that they are written one after the other whatever one does; those that come while one is being
 * written are therefore written together with the next, with one lock and one flush for all of them. Many workers on one huge disk cost no more than on many.
 * By disk and not by run: the dispatcher counts in the rows of several disks at once, and who has one of them must not wait for another.
 */
export class ReportBatches {
  readonly #db: Database
  readonly #onReport: (runId: string) => void
  readonly #places = new Map<string, Place>()
  /** By image, as long as one of its reports is being written. */
  readonly #waiting = new Map<string, Waiting[]>()

  /** `onReport`: told of the run once reports are durable. */
  constructor(db: Database, onReport: (runId: string) => void = () => {}) {
    this.#db = db
    this.#onReport = onReport
  }

  /** An attempt at this range has begun; its report is likely to come here. */
  expect(rangeId: string, { imageId, runId }: Place): void {
    if (this.#places.size >= REMEMBERED) this.#places.clear()
    this.#places.set(rangeId, { imageId, runId })
  }

  async complete(id: string, attemptId: string, result: RangeResult): Promise<{ accepted: boolean }> {
    expectOwnObjects(id, attemptId, result.objects)
    const place = this.#places.get(id) ?? (await this.#placeOf(id))
    const report: Report = { id, attemptId, result, hash: reportHash(result) }
    const answer = await new Promise<ReportAnswer | Error>(settle => this.#add(place, { report, settle }))
    if (answer instanceof Error) throw answer
    this.#places.delete(id)
    return { accepted: answer }
  }

  async #placeOf(rangeId: string): Promise<Place> {
    const { rows } = await this.#db.query<{ image_id: string; run_id: string }>(`select image_id, run_id from varve.ranges where id = $1`, [
      rangeId,
    ])
    if (rows[0] === undefined) throw noRange(rangeId)
    return { imageId: rows[0].image_id, runId: rows[0].run_id }
  }

  #add(place: Place, one: Waiting): void {
    const others = this.#waiting.get(place.imageId)
    if (others !== undefined) others.push(one)
    else {
      this.#waiting.set(place.imageId, [one])
      void this.#writeAll(place)
    }
  }

  /** One batch after the other until nothing waits any more. Never fails: whoever waits hears what came of it. */
  async #writeAll({ imageId, runId }: Place): Promise<void> {
    for (;;) {
      const batch = this.#waiting.get(imageId)?.splice(0, BATCH) ?? []
      if (batch.length === 0) break
      const answers = await this.#write(batch.map(one => one.report))
      if (answers.includes(true)) this.#onReport(runId)
      for (const [at, { settle }] of batch.entries()) settle(answers[at]!)
    }
    this.#waiting.delete(imageId)
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
