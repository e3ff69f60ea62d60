import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type Catalog, type Check, FINDING_CODES } from '@varve/catalog-client'
import { errorReport, hasCode } from '@varve/errors'
import { type OpenPlatform, Platforms } from '@varve/range-worker'
import { openRepository, type Repository } from '@varve/repository'
import { type Logger, type Metrics, sleep } from '@varve/runtime'
import type { CheckLimits } from './check-context.ts'
import { Findings } from './findings.ts'
import { runCheck } from './run-check.ts'
import { StrangePoints } from './strange-points.ts'

export interface MaintenanceDeps {
  readonly catalog: Catalog
  readonly repository: Repository
  readonly openPlatform: OpenPlatform
  readonly log: Logger
  readonly metrics?: Metrics
  /** Seconds between two checks of leaks that this service makes itself, however many instances there are (default 300); 0: none. */
  readonly everySeconds?: number
  /** Seconds between two of those that look at everything (default a day); 0: none. */
  readonly wholeEverySeconds?: number
  /** Seconds without a sign of life after which a run under way counts as silent (default 300). */
  readonly silenceSeconds?: number
  /** Seconds after which a write that has not ended will not end any more (default a day). */
  readonly unfinishedSeconds?: number
  /** Seconds for which an object of an unknown owner is left alone, also when a sweep is asked for (default 30 days). */
  readonly unknownAgeSeconds?: number
  /** Milliseconds between two questions for a check to do (default 1000). */
  readonly askMs?: number
}

const ASK_MS = 1000
/** Well within the minute after which a silent check is given to another. */
const BEAT_MS = 5000
const STOP_MS = 2000

/** Do the checks that are asked for, one at a time, and make the periodic ones, until closed. Closes none of its dependencies. */
export async function startMaintenance(given: MaintenanceDeps): Promise<{ close(): Promise<void> }> {
  const { catalog, log, everySeconds = 300, wholeEverySeconds = 86_400, askMs = ASK_MS } = given
  const worker = `${hostname().slice(0, 100)}-${process.pid}-${randomBytes(4).toString('hex')}`
  const platforms = new Platforms(catalog, given.openPlatform)
  const counted = counters(given.metrics)
  const stop = new AbortController()

  const loop = async (): Promise<void> => {
    let askedAt = Number.NEGATIVE_INFINITY
    for (let awayTold = false; !stop.signal.aborted; await sleep(askMs, stop.signal).catch(() => {})) {
      try {
        // Any instance may ask; the catalog lets one through. More often than they are due, so that one that dies costs no turn.
        if (everySeconds > 0 && performance.now() - askedAt > Math.min(everySeconds * 100, 30_000)) {
          askedAt = performance.now()
          await catalog.createPeriodicCheck(everySeconds, wholeEverySeconds)
        }
        const check = await catalog.takeCheck(worker)
        if (check !== null) counted(check, await doCheck(check, worker, platforms, given, stop.signal))
        awayTold = false
      } catch (error) {
        if (!stop.signal.aborted && !awayTold) log.warn({ err: error }, 'asking for checks failed')
        awayTold = true
      }
    }
  }
  const done = loop()
  return {
    async close() {
      stop.abort(new Error('the service stops'))
      const patience = new AbortController()
      await Promise.race([done, sleep(STOP_MS, patience.signal).catch(() => {})]).finally(() => patience.abort())
      await platforms.close()
    },
  }
}

type Outcome = 'done' | 'failed' | 'given-up'

/** One check from taking it to its end. It is given up, for another to take, when this process stops or was too slow to be believed alive. */
async function doCheck(
  check: Check,
  worker: string,
  platforms: Platforms,
  { catalog, repository, log, silenceSeconds = 300, unfinishedSeconds = 86_400, unknownAgeSeconds = 2_592_000 }: MaintenanceDeps,
  stop: AbortSignal,
): Promise<{ readonly outcome: Outcome; readonly findings: Findings }> {
  const findings = new Findings()
  const lost = new AbortController()
  const signal = AbortSignal.any([stop, lost.signal])
  const began = performance.now()
  let step = 'begin'
  const beat = async (): Promise<void> => {
    try {
      await catalog.progressCheck(check.id, worker, { step, seen: { ...findings.seen } })
    } catch (error) {
      // Another has it by now. A catalog that is away may be back in time.
      if (hasCode(error, 'CONFLICT', 'NOT_FOUND')) lost.abort(error)
    }
  }
  const timer = setInterval(() => void beat(), BEAT_MS)
  const limits: CheckLimits = { silenceS: silenceSeconds, unfinishedS: unfinishedSeconds, unknownAgeS: unknownAgeSeconds }
  try {
    await beat()
    const fresh = await openRepository(repository.store)
    const strangePoints = new StrangePoints({ catalog, repository: fresh, log, signal })
    await runCheck({ check, catalog, platforms, repository: fresh, strangePoints, findings, limits, log, signal }, name => {
      step = name
      void beat()
    })
    signal.throwIfAborted()
    const summary = findings.summary()
    await catalog.endCheck(check.id, worker, { findings: findings.list(), summary })
    const { seen: _, byCode, ...counts } = summary
    const level = counts.broken > 0 ? 'error' : counts.leaks > counts.swept ? 'warn' : 'info'
    log[level](
      { checkId: check.id, scope: check.scope, periodic: check.periodic, ms: Math.round(performance.now() - began), ...counts, byCode },
      'check done',
    )
    return { outcome: 'done', findings }
  } catch (error) {
    if (signal.aborted || hasCode(error, 'CONFLICT')) {
      log.info({ checkId: check.id }, 'check given up')
      return { outcome: 'given-up', findings }
    }
    const { code, message } = errorReport(error)
    log.warn({ checkId: check.id, step, err: error }, 'check failed')
    await catalog.endCheck(check.id, worker, { error: { code, message: `while looking at ${step}: ${message}`.slice(0, 2000) } })
    return { outcome: 'failed', findings }
  } finally {
    clearInterval(timer)
  }
}

function counters(metrics: Metrics | undefined): (check: Check, end: Awaited<ReturnType<typeof doCheck>>) => void {
  const checks = metrics?.counter('varve_checks_total', 'Checks, by what became of them.', ['scope', 'outcome'])
  const found = metrics?.counter('varve_findings_total', 'Findings of checks, by kind.', ['kind'])
  const swept = metrics?.counter('varve_swept_total', 'What was owned by nobody and taken away, by code of the finding.', ['code'])
  return ({ scope }, { outcome, findings }) => {
    checks?.inc({ scope, outcome })
    for (const finding of findings.list()) {
      found?.inc({ kind: FINDING_CODES[finding.code].kind })
      if (finding.swept) swept?.inc({ code: finding.code })
    }
  }
}
