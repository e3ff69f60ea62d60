import type { LiveRunFacts } from '@varve/catalog-client'
import type { CheckContext } from './check-context.ts'
import { allOf } from './each-of.ts'

/** Invariant 6: somebody, or something, works on every run under way, or will: it is touched, or waits for its turn or for its job to be brought to the queue. */
export function isSilent(run: LiveRunFacts, silenceS: number): boolean {
  return run.silentSeconds > silenceS && !run.waiting && !run.jobWaits
}

/** @returns the runs under way, by id */
export async function checkRuns({ catalog, findings, limits, check, signal }: CheckContext): Promise<Map<string, LiveRunFacts>> {
  const live = new Map<string, LiveRunFacts>()
  for await (const run of allOf(after => catalog.liveRunFacts(after))) {
    signal.throwIfAborted()
    live.set(run.id, run)
    if (check.scope !== 'all' || !isSilent(run, limits.silenceS)) continue
    const message = `${run.kind} of VM ${run.vmName} is ${run.state} and has given no sign of life for ${Math.round(run.silentSeconds)} s`
    findings.add({ code: 'run-silent', subject: run.id, runId: run.id, platformId: run.platformId, message })
  }
  return live
}
