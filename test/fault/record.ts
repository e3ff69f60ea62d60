import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ROOT } from '../support/system.ts'
import type { Fault } from './driver/fault.ts'
import type { Outcome } from './driver/story.ts'
import { tableOf } from './table.ts'

/** What came of one injection, and of which run. */
export interface Recorded extends Omit<Outcome, 'struck'> {
  readonly seed: number
  /** `YYYY-MM-DD`. */
  readonly date: string
}

/** A line each, so that a change can be read. */
const RECORD = join(ROOT, 'test', 'fault', 'record.jsonl')
const TABLE = join(ROOT, 'docs', 'faults.md')

/** Put what came of these faults in the place of what is known of them, and make docs/faults.md anew. */
export async function recordOutcomes(
  all: readonly Fault[],
  ran: readonly Fault[],
  outcomes: readonly Outcome[],
  seed: number,
): Promise<void> {
  const date = new Date().toISOString().slice(0, 10)
  const text = await readFile(RECORD, 'utf8').catch(() => '')
  const before = text
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Recorded)
  const now = outcomes.map(({ struck: _, ...outcome }) => ({ ...outcome, seed, date }))
  const record = merged(before, all, ran, now)
  await writeFile(RECORD, record.map(line => `${JSON.stringify(line)}\n`).join(''))
  await writeFile(TABLE, tableOf(all, record))
}

/** In the order of the faults; those that there are no more are forgotten. */
export function merged(before: readonly Recorded[], all: readonly Fault[], ran: readonly Fault[], now: readonly Recorded[]): Recorded[] {
  return all.flatMap(({ name }) => (ran.some(fault => fault.name === name) ? now : before).filter(({ fault }) => fault === name))
}
