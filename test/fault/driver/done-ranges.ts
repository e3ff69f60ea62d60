import type { World } from './world.ts'

/** Ranges that were done at a moment, each with the attempts that there were by then. */
export type DoneRanges = ReadonlyMap<string, number>

/** Of one run. */
export async function doneRanges(world: World, runId: string): Promise<DoneRanges> {
  const rows = await world.database.query<{ id: string; attempts: number }>(
    `select r.id, (select count(*)::int from varve.attempts a where a.range_id = r.id) as attempts
       from varve.ranges r where r.run_id = $1 and r.state = 'done'`,
    [runId],
  )
  return new Map(rows.map(({ id, attempts }) => [id, attempts]))
}

/** Work that was done again although it was done already: of ranges in flight a second attempt is right, of these it is not. */
export async function doneAgain(world: World, runId: string, before: DoneRanges): Promise<string[]> {
  const now = await doneRanges(world, runId)
  const problems: string[] = []
  for (const [id, attempts] of before) {
    const later = now.get(id)
    if (later === undefined) problems.push(`range ${id} was done and is not any more`)
    else if (later > attempts) problems.push(`range ${id} was done, and taken ${later - attempts} times more`)
  }
  return problems
}
