import { type Logger, sleep } from '@varve/runtime'
import { compactBatch } from './compaction.ts'
import type { Database } from './database.ts'
import { dropOldRows } from './old-rows.ts'

export interface CompactorOptions {
  /** Hours that the rows of a run stay after its end. */
  readonly afterHours: number
  /** Seconds between two looks when there was nothing more to do. Default 300. */
  readonly intervalS?: number
}

/**
 * Shrinks what ended, for as long as the process runs. It rests as long as each batch took, so that it never has more than half of one connection. Several
 * instances may do it at once.
 */
export function startCompactor(db: Database, options: CompactorOptions, log: Logger): { close(): Promise<void> } {
  const stop = new AbortController()
  const rest = (ms: number): Promise<void> => sleep(ms, stop.signal).catch(() => {})
  const loop = async (): Promise<void> => {
    // Not in the moment of the start, which has enough to do.
    await rest(10_000)
    while (!stop.signal.aborted) {
      try {
        const total = await compactAll(db, options.afterHours, stop.signal, rest)
        if (total.runs > 0 || total.rows > 0) log.info(total, 'rows of what ended were compacted')
      } catch (error) {
        if (!stop.signal.aborted) log.warn({ err: error }, 'compacting rows of what ended failed; trying again later')
      }
      await rest((options.intervalS ?? 300) * 1000)
    }
  }
  const done = loop()
  return {
    async close() {
      stop.abort()
      await done
    },
  }
}

async function compactAll(
  db: Database,
  afterHours: number,
  signal: AbortSignal,
  rest: (ms: number) => Promise<void>,
): Promise<{ runs: number; ranges: number; rows: number }> {
  const total = { runs: 0, ranges: 0, rows: 0 }
  for (let more = true; more && !signal.aborted; ) {
    const began = performance.now()
    const { runs, ranges } = await compactBatch(db, { afterHours })
    const rows = await dropOldRows(db)
    total.runs += runs
    total.ranges += ranges
    total.rows += rows
    more = runs + ranges + rows > 0
    await rest(performance.now() - began)
  }
  return total
}
