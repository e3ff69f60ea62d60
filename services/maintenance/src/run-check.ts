import { type Check, FINDING_CODES, type LiveRunFacts } from '@varve/catalog-client'
import { type CheckContext, isWhole } from './check-context.ts'
import { checkObjects } from './check-objects.ts'
import { checkPlatforms } from './check-platforms.ts'
import { checkPoints } from './check-points.ts'
import { checkRuns } from './check-runs.ts'
import { sweepAttempts } from './sweep-attempts.ts'

/**
 * One look at everything: runs under way, platforms, objects, and with `all` the points; at the end the sweep, if it is wanted. A periodic check of leaks leaves the
 * whole listing out; a periodic one of all is whole, and takes away what needs no question.
 *
 * Nothing is locked: all the while backups begin, end and are sealed. What an owner makes is recorded before it is made and struck off after it is
 * gone, so each thing is seen first and its owner asked for then; and what has no owner then never gets one.
 *
 * Safe to repeat: it reads, and takes away only what it has just found to be nobody's.
 *
 * @param step told before each part
 */
export async function runCheck(context: CheckContext, step: (name: string) => void): Promise<void> {
  const { check, findings, signal } = context
  step('runs')
  const live = await checkRuns(context)
  if (check.sweep) {
    step('attempts')
    await sweepAttempts(context)
  }
  step('platforms')
  await checkPlatforms(context, live)
  if (isWhole(check)) {
    step('objects')
    const sizes = await checkObjects(context, await foundBefore(context, live))
    if (check.scope === 'all') {
      step('points')
      await checkPoints(context, sizes)
    }
  }
  if (!check.sweep) return
  step('sweep')
  await findings.sweep(({ code }) => FINDING_CODES[code].swept === 'yes' || !check.periodic, signal)
}

/** Checks looked through for one that is old enough. */
const CHECKS_BACK = 200

/**
 * What the newest check found that ended before any run that is under way now was made: what is of an unknown owner and was there then is not of a run that
 * may still be sealed, whatever wrote it.
 */
async function foundBefore({ catalog, check }: CheckContext, live: ReadonlyMap<string, LiveRunFacts>): Promise<ReadonlySet<string>> {
  const limit = [check.createdAt, ...[...live.values()].map(({ createdAt }) => createdAt)].sort()[0]!
  const done = await catalog.listChecks({ state: 'done', periodic: false, limit: CHECKS_BACK })
  const before = done.find(other => other.id !== check.id && isBefore(other, limit))
  const findings = before === undefined ? [] : ((await catalog.getCheck(before.id)).findings ?? [])
  return new Set(findings.filter(({ swept }) => !swept).map(({ code, subject }) => `${code} ${subject}`))
}

function isBefore({ endedAt }: Check, time: string): boolean {
  return endedAt !== null && endedAt <= time
}
