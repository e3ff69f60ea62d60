import type { Catalog } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { Logger } from '@varve/runtime'
import { hasCode } from './errors.ts'

interface FailedJob {
  readonly runId: string
  readonly lastAttempt: boolean
  readonly signal: AbortSignal
}

/**
 * What becomes of a job that threw. A run that ended meanwhile needs nothing more; a process that is being stopped leaves the job to
 * the next one; what may pass is tried again while attempts are left; everything else ends the run with its code.
 *
 * @throws the error itself when the job should be delivered again
 */
export async function endOrRetry(error: unknown, { runId, lastAttempt, signal }: FailedJob, catalog: Catalog, log: Logger): Promise<void> {
  if (hasCode(error, 'RUN_ENDED')) return
  if (signal.aborted) throw error
  const report = errorReport(error)
  // A VM that somebody else holds was waited for already.
  if (report.retryable && !lastAttempt && report.code !== 'LEASE_OCCUPIED') {
    log.warn({ runId, err: error }, 'job failed, to be tried again')
    throw error
  }
  log.error({ runId, err: error }, 'run failed')
  try {
    await catalog.failRun(runId, report)
  } catch (failure) {
    if (!hasCode(failure, 'RUN_ENDED')) throw failure
  }
}
