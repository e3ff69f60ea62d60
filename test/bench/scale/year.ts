import { setTimeout as sleep } from 'node:timers/promises'
import type { Catalog, Vm } from '@varve/catalog-client'
import { statementTimes, type TableSize, tableSizes } from './database-size.ts'
import type { Histogram } from './histogram.ts'
import { measureCalls, yearCalls } from './year-calls.ts'

export interface YearFigures {
  readonly fillSeconds: number
  readonly points: number
  readonly sizes: readonly TableSize[]
  readonly calls: ReadonlyMap<string, Histogram>
  /** Statements that no caller waits for, by the database's own clock, ms. */
  readonly background: readonly { readonly name: string; readonly meanMs: number; readonly maxMs: number }[]
}

/** What a user does between two calls. */
const THINK_MS = 100

const BACKGROUND = {
  'reconciler: look for silent runs': '%from varve.runs r where r.ended_at is null and (%',
  'metrics: runs by state': '%count(*) from varve.runs where ended_at is null%',
  'compaction: look for runs': '%order by ended_at limit%',
}

export async function measureYear(
  databaseUrl: string,
  catalogUrl: string,
  options: { catalog: Catalog; vms: readonly Vm[]; days: number; random: () => number; times: number; users: number; fillSeconds: number },
): Promise<YearFigures> {
  const { times, users, fillSeconds, days, vms } = options
  const calls = yearCalls(options)
  // What is read for the first time comes from disk: one round to warm what a working catalog has in memory.
  await measureCalls(calls, Math.ceil(times / 10), users)
  const measured = await measureCalls(calls, times, users, () => sleep(THINK_MS))
  for (let n = 0; n < 20; n++) await fetch(`${catalogUrl}/metrics`).then(answer => answer.text())
  const background = []
  for (const [name, like] of Object.entries(BACKGROUND)) {
    const [found] = await statementTimes(databaseUrl, 1, like)
    if (found !== undefined) background.push({ name, meanMs: found.meanMs, maxMs: found.maxMs })
  }
  return { fillSeconds, points: vms.length * days, sizes: await tableSizes(databaseUrl), calls: measured, background }
}
