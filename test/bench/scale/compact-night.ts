import { setTimeout as sleep } from 'node:timers/promises'
import { query, type TableSize, tableSizes } from './database-size.ts'

export interface CompactionFigures {
  readonly ranges: number
  readonly seconds: number
  /** Bytes of tables and indexes before, and after with vacuum: what is free in them then is used again by the next night. */
  readonly before: readonly TableSize[]
  readonly after: readonly TableSize[]
}

/** Let a day pass for what has ended, and wait until the catalog has compacted it. */
export async function compactNight(
  databaseUrl: string,
  restart: () => Promise<void>,
  note: (line: string) => void,
): Promise<CompactionFigures> {
  await query(databaseUrl, 'vacuum analyze')
  const before = await tableSizes(databaseUrl)
  const left = async (): Promise<{ ranges: number; runs: number }> => {
    const [row] = await query<{ ranges: number; runs: number }>(
      databaseUrl,
      `select (select count(*)::integer from varve.ranges) as ranges,
              (select count(*)::integer from varve.runs where ended_at is not null and compacted_at is null) as runs`,
    )
    return row!
  }
  await query(
    databaseUrl,
    `update varve.runs set ended_at = ended_at - interval '25 hours' where ended_at is not null and compacted_at is null`,
  )
  const { ranges } = await left()
  await restart()
  while ((await left()).ranges === ranges) await sleep(100)
  const began = performance.now()
  for (let now = await left(); now.runs > 0; now = await left()) {
    note(`${now.ranges} ranges of ${now.runs} ended runs left`)
    await sleep(1000)
  }
  const seconds = (performance.now() - began) / 1000
  await query(databaseUrl, 'vacuum analyze')
  return { ranges, seconds, before, after: await tableSizes(databaseUrl) }
}
