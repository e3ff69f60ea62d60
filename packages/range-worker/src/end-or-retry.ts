import type { Catalog } from '@varve/catalog-client'
import { type ErrorReport, errorReport, hasCode } from '@varve/errors'
import type { Logger } from '@varve/runtime'

export interface FailedJob {
  readonly runId: string
  readonly rangeId?: string
  readonly lastAttempt: boolean
  readonly signal: AbortSignal
}

/** May another attempt succeed? */
export type IsPassing = (error: unknown, report: ErrorReport) => boolean

/**
 * What becomes of a job that threw. A run that ended meanwhile needs nothing more; a process that is being stopped leaves the job to
 * the next one; what may pass is tried again while attempts are left; everything else ends the run with its code, unless the range is in other hands.
 *
 * @throws the error itself when the job should be delivered again
 */
export async function endOrRetry(
  error: unknown,
  { lastAttempt, signal, ...ids }: FailedJob,
  isPassing: IsPassing,
  { catalog, log }: { readonly catalog: Pick<Catalog, 'failRun'>; readonly log: Logger },
): Promise<void> {
  if (hasCode(error, 'RUN_ENDED')) return
  if (signal.aborted) throw error
  const report = errorReport(error)
  if (!lastAttempt && isPassing(error, report)) {
    log.warn({ ...ids, err: error }, 'job failed, to be tried again')
    throw error
  }
  log.error({ ...ids, err: error }, ids.rangeId === undefined ? 'run failed' : 'range failed')
  try {
    await catalog.failRun(ids.runId, report, ids.rangeId)
  } catch (failure) {
    if (!hasCode(failure, 'RUN_ENDED')) throw failure
  }
}
