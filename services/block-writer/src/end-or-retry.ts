import type { Catalog } from '@varve/catalog-client'
import { errorReport } from '@varve/errors'
import type { Logger } from '@varve/runtime'
import { hasCode } from './errors.ts'

interface FailedJob {
  readonly runId: string
  readonly rangeId: string
  readonly lastAttempt: boolean
  readonly signal: AbortSignal
}

/**
 * What becomes of a range job that threw. A run that ended meanwhile needs nothing more; a process that is being stopped leaves the
 * job to the next one; what may pass is tried again while attempts are left; everything else ends the run with its code.
 *
 * @throws the error itself when the job should be delivered again
 */
export async function endOrRetry(error: unknown, job: FailedJob, catalog: Catalog, log: Logger): Promise<void> {
  const { runId, rangeId, lastAttempt, signal } = job
  if (hasCode(error, 'RUN_ENDED')) return
  if (signal.aborted) throw error
  const report = errorReport(error)
  if (!lastAttempt && isPassing(error, report.retryable)) {
    log.warn({ runId, rangeId, err: error }, 'range failed, to be tried again')
    throw error
  }
  log.error({ runId, rangeId, err: error }, 'run failed')
  try {
    await catalog.failRun(runId, report)
  } catch (failure) {
    if (!hasCode(failure, 'RUN_ENDED')) throw failure
  }
}

/**
 * May another attempt succeed? A server that answered with an error, or broke the protocol, is asked again over a new connection. A lost
 * lease does not come back.
 */
function isPassing(error: unknown, retryable: boolean): boolean {
  if (hasCode(error, 'LEASE_LOST')) return false
  if (hasCode(error, 'NBD_REQUEST_FAILED')) return ['EIO', 'ENOMEM', 'ESHUTDOWN'].includes(String(error.context.errno))
  return retryable || hasCode(error, 'NBD_PROTOCOL')
}
