import type { FindingCode, RunFacts } from '@varve/catalog-client'
import { madeWith, type PlatformVm } from '@varve/platform'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/
/** How the names of our snapshots begin; the id of the run follows. */
export const SNAPSHOT_PREFIX = 'varve-'

/** The run in whose name a snapshot was taken; null: it is not one of ours. */
export function runOfSnapshot(name: string): string | null {
  return name.startsWith(SNAPSHOT_PREFIX) ? (UUID.exec(name.slice(SNAPSHOT_PREFIX.length))?.[0] ?? null) : null
}

/** The run for which a VM was made; null: for none. */
export function runOfVm(vm: Pick<PlatformVm, 'description'>): string | null {
  const token = madeWith(vm)
  return token !== null && UUID.exec(token)?.[0] === token ? token : null
}

/** Does a snapshot that carries the name of this run belong to nobody? Null: it has its owner. */
export function judgeSnapshot(run: Pick<RunFacts, 'endedAt'> | undefined): FindingCode | null {
  if (run === undefined) return 'snapshot-of-unknown-run'
  return run.endedAt === null ? null : 'snapshot-of-ended-run'
}

/** And a VM that was made for it? The VM of a restore that succeeded is the user's. */
export function judgeMadeVm(run: Pick<RunFacts, 'endedAt' | 'outcome' | 'kind'> | undefined): FindingCode | null {
  if (run === undefined) return 'vm-of-unknown-run'
  const failed = run.kind === 'restore' && (run.outcome === 'failed' || run.outcome === 'cancelled')
  return run.endedAt !== null && failed ? 'vm-of-failed-restore' : null
}
