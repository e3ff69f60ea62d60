import type { Database, Sql } from './database.ts'

export interface CompactionOptions {
  /** Hours that the rows of a run stay after its end. */
  readonly afterHours: number
  /** Runs and ranges of one transaction at most. Defaults 50 and 2000: some hundred milliseconds, some MB of log. */
  readonly runs?: number
  readonly ranges?: number
}

export interface Compacted {
  readonly runs: number
  readonly ranges: number
}

/**
 * What is left of a run that ended some time ago: its row, its images with their sums, its point, and which attempts were accepted. Ranges with their pages,
 * objects and attempts go; the pages are in the roots, the objects in the repository's own listing. One batch, one transaction, safe to repeat: what a batch
 * does not reach is still there for the next. Several at once share the runs (`skip locked`).
 *
 * A run with an attempt that may have left something behind in the repository, or was heard of after it was swept, stays whole until that is swept; so does one that
 * ended without success, until what it stored is.
 *
 * @returns what went; nothing at all when there is no more to do.
 */
export async function compactBatch(db: Database, options: CompactionOptions): Promise<Compacted> {
  return db.transaction(async sql => {
    const { rows: due } = await sql.query<{ id: string }>(DUE_RUNS, [options.afterHours * 3600, options.runs ?? 50])
    const runIds = due.map(run => run.id)
    if (runIds.length === 0) return { runs: 0, ranges: 0 }
    const { rows } = await sql.query<{ id: string }>(
      `select g.id from varve.images i join varve.ranges g on g.image_id = i.id where i.run_id = any ($1) limit $2`,
      [runIds, options.ranges ?? 2000],
    )
    const rangeIds = rows.map(range => range.id)
    if (rangeIds.length > 0) await dropRanges(sql, rangeIds)
    const done = await sql.query(
      `update varve.runs r set compacted_at = now()
        where id = any ($1) and not exists (select 1 from varve.images i join varve.ranges g on g.image_id = i.id where i.run_id = r.id)`,
      [runIds],
    )
    // Of ended runs: nobody waits for these.
    await sql.query(`delete from varve.outbox where run_id = any ($1)`, [runIds])
    return { runs: done.rowCount ?? 0, ranges: rangeIds.length }
  })
}

const DUE_RUNS = `
  select id from varve.runs r
   where ended_at is not null and compacted_at is null and ended_at <= now() - make_interval(secs => $1)
     and not exists (select 1 from varve.attempts a where a.run_id = r.id and a.swept_at is null and a.outcome is distinct from 'accepted')
     and (outcome not in ('failed', 'cancelled') or not exists (select 1 from varve.objects o where o.run_id = r.id))
     and not exists (select 1 from varve.attempts a where a.run_id = r.id and a.swept_at < a.touched_at)
   order by ended_at limit $2 for no key update skip locked`

async function dropRanges(sql: Sql, rangeIds: readonly string[]): Promise<void> {
  await sql.query(KEEP_ATTEMPTS, [rangeIds])
  await sql.query(KEEP_PROGRESS, [rangeIds])
  for (const table of ['objects', 'attempts', 'outbox']) await sql.query(`delete from varve.${table} where range_id = any ($1)`, [rangeIds])
  await sql.query(`delete from varve.ranges where id = any ($1)`, [rangeIds])
}

/**
 * The first 12 bytes of the ids of all packs and maps that the ranges own: the ids of their accepted attempts. Objects from before there were attempts each
 * begin with 12 bytes of their own.
 */
const KEEP_ATTEMPTS = `
  insert into varve.run_attempts (run_id, attempt_ids)
  select run_id, string_agg(decode(id, 'hex'), ''::bytea order by id) from (
    select run_id, id from varve.attempts where range_id = any ($1) and outcome = 'accepted'
    union
    select run_id, substring(key from '/([0-9a-f]{24})[0-9a-f]{8}$') from varve.objects
     where range_id = any ($1) and key ~ '/[0-9a-f]{32}$') owned
  group by run_id
  on conflict (run_id) do update set attempt_ids = run_attempts.attempt_ids || excluded.attempt_ids`

/** How far ranges that never ended had got counts in the totals of their image, and goes on to. */
const KEEP_PROGRESS = `
  update varve.images i set read = i.read + g.read, written = i.written + g.written
    from (select image_id, sum(progress_read)::bigint as read, sum(progress_written)::bigint as written from varve.ranges
           where id = any ($1) and state = 'queued' and (progress_read > 0 or progress_written > 0) group by image_id) g
   where i.id = g.image_id`
