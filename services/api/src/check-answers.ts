import { type Check, type CheckWithFindings, FINDING_CODES, type Finding } from '@varve/catalog-client'
import type { CheckAnswer, CheckRowAnswer, FindingAnswer, LeaksAnswer } from './schemas/check.ts'

export function findingAnswer(finding: Finding): FindingAnswer {
  const { code, kind, invariant, subject, runId, platformId, message, swept } = finding
  // One of a newer version of Varve has no help here.
  return { code, kind, invariant, subject, runId, platformId, message, help: FINDING_CODES[code]?.help ?? '', swept }
}

export function checkRowAnswer(check: Check): CheckRowAnswer {
  const { id, scope, sweep, periodic, state, createdAt, endedAt, reason, message } = check
  const progress = check.progress === null ? null : { step: check.progress.step, seen: { ...check.progress.seen } }
  const summary = check.summary === null ? null : { ...check.summary, byCode: { ...check.summary.byCode }, seen: { ...check.summary.seen } }
  return { id, scope, sweep, periodic, state, createdAt, endedAt, progress, summary, reason, message }
}

export function checkAnswer(check: CheckWithFindings): CheckAnswer {
  return { ...checkRowAnswer(check), findings: check.findings?.map(findingAnswer) ?? null }
}

/** Invariant 7 is about leaks; notes on what others may own are among them. */
function ofLeaks(check: CheckWithFindings | null): readonly Finding[] {
  return check?.findings?.filter(({ invariant }) => invariant === 7) ?? []
}

/**
 * What is owned by nobody, by the newest whole look and the periodic ones after it. Those look only at what changed lately, so that what they do not find is
 * not gone; what any of them took away is.
 *
 * @param later oldest first; at least the newest, and those that took something away
 */
export function leaksAnswer(whole: CheckWithFindings | null, later: readonly CheckWithFindings[], underWay: boolean): LeaksAnswer {
  const last = later.at(-1)
  const found = new Map<string, Finding>()
  for (const check of [...(whole === null ? [] : [whole]), ...later]) {
    for (const finding of ofLeaks(check)) {
      if (check === whole || check === last || finding.swept) found.set(`${finding.code} ${finding.platformId} ${finding.subject}`, finding)
    }
  }
  const all = [...found.values()].map(findingAnswer)
  const newest = last ?? whole
  return {
    checkId: newest?.id ?? null,
    checkedAt: newest?.endedAt ?? null,
    underWay,
    items: all.filter(({ swept }) => !swept),
    swept: all.filter(({ swept }) => swept),
  }
}
