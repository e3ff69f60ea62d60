import { type Logger, sleep } from '@varve/runtime'
import { asCatalogError, type Database } from './database.ts'
import { lockRun } from './locked-run.ts'
import { requeueLocked } from './requeue.ts'

export interface ReconcilerOptions {
  /** Seconds between two looks. */
  readonly intervalS: number
  /** Seconds without a sign of life after which a step's job is queued again. */
  readonly silenceS: number
}

/**
 * What makes the queue's memory unimportant (invariant 6): every run that has not ended and whose present step gives no sign of life has its job queued again.
 * A job that is merely slow is queued under the same id, which the queue takes as the same job. Runs that were not given out yet, and ranges that are not in
 * the queue, have no job to lose.
 *
 * @returns the ids of the runs that were helped.
 */
export async function reconcile(db: Database, options: Pick<ReconcilerOptions, 'silenceS'>, log?: Logger): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select id from varve.runs r where r.released_at is not null and r.ended_at is null and (
       (r.state <> 'copying' and r.touched_at <= now() - make_interval(secs => $1))
       or (r.state = 'copying' and (
         exists (select 1 from varve.ranges g where g.run_id = r.id and g.state = 'queued' and g.touched_at <= now() - make_interval(secs => $1))
         or not exists (select 1 from varve.images i where i.run_id = r.id and i.ranges_done < i.ranges_total))))
     order by r.touched_at limit 1000`,
    [options.silenceS],
  )
  const helped: string[] = []
  for (const { id } of rows) {
    try {
      const jobs = await db.transaction(async sql => requeueLocked(sql, await lockRun(sql, id), options.silenceS))
      if (jobs > 0) helped.push(id)
    } catch (error) {
      // A database that is away is so for all of them; a run that cannot be helped must not keep the others waiting.
      if (asCatalogError(error).code === 'CATALOG_UNREACHABLE') throw error
      log?.warn({ runId: id, err: error }, 'the present step of a run could not be queued again')
    }
  }
  return helped
}

/**
 * Once at start, with no patience at all: after a restart of everything nobody works on anything. Then at intervals.
 * Several instances may do it at once; jobs are then queued twice, which is once.
 */
export function startReconciler(db: Database, options: ReconcilerOptions, log: Logger): { close(): Promise<void> } {
  const stop = new AbortController()
  const loop = async (): Promise<void> => {
    let silenceS = 0
    while (!stop.signal.aborted) {
      try {
        const runs = await reconcile(db, { silenceS }, log)
        if (runs.length > 0) log.info({ runs, silenceS }, 'queued the present step of runs again that gave no sign of life')
        silenceS = options.silenceS
      } catch (error) {
        if (!stop.signal.aborted) log.warn({ err: error }, 'looking for runs without a sign of life failed')
      }
      await sleep(options.intervalS * 1000, stop.signal).catch(() => {})
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
