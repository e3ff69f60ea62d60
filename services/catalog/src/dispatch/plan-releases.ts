import { type DispatchInput, type DispatchPlan, type Held, type WaitingRun, WEIGHTS } from './dispatch-plan.ts'
import type { Usage } from './usage.ts'

/**
 * Which runs that wait are given out. VMs take turns: first the run whose VM has the fewest under way. Among those the one whose waiting counts most: time
 * times weight, so that a high priority goes before a low one of the same age, and no age is overtaken for ever.
 *
 * Input: runs under way, runs that wait, limits. `usage` is used up. Output: ids in order, and what holds the others.
 */
export function planReleases({ runs, waiting, limits, now }: DispatchInput, usage: Usage): Pick<DispatchPlan, 'release' | 'held'> {
  const ofVm = new Map<string, number>()
  for (const { vmId } of runs) ofVm.set(vmId, (ofVm.get(vmId) ?? 0) + 1)
  const release: string[] = []
  const held: { runId: string; by: Held }[] = []
  // As many lists as a VM has runs under way; within one the order by waiting stays.
  const turns: WaitingRun[][] = []
  const urgency = (run: WaitingRun): number => Math.max(0, now - run.createdAt) * WEIGHTS[run.priority]
  const byUrgency = (a: WaitingRun, b: WaitingRun): number =>
    urgency(b) - urgency(a) || WEIGHTS[b.priority] - WEIGHTS[a.priority] || a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)
  for (const run of [...waiting].sort(byUrgency)) {
    const turn = ofVm.get(run.vmId) ?? 0
    ofVm.set(run.vmId, turn + 1)
    turns[turn] ??= []
    turns[turn].push(run)
  }
  for (const run of turns.flat()) {
    const by = heldBy(run, limits, usage)
    if (by !== null) held.push({ runId: run.id, by })
    else {
      usage.addRun(run)
      release.push(run.id)
    }
  }
  return { release, held }
}

function heldBy(run: WaitingRun, limits: DispatchInput['limits'], usage: Usage): Held | null {
  const of = limits.get(run.platformId)
  if (of === undefined || usage.roomFor(run.platformId, of) === 0) return 'runs'
  if (usage.isHostFull(run.platformId, run.hostId, of)) return 'runsPerHost'
  const full = Object.keys(run.disks).some(datastoreId => usage.isDatastoreFull(run.platformId, datastoreId, of))
  return full ? 'openDisksPerDatastore' : null
}
