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

/**
 * And a VM that was made for it? The one that a restore wrote to with success is the user's. Another one with the run's token and off was made a second time, or it is a
 * copy of the user's that has the description, too.
 */
export function judgeMadeVm(
  run: Pick<RunFacts, 'endedAt' | 'outcome' | 'kind' | 'targetPlatformVmId'> | undefined,
  vm: Pick<PlatformVm, 'id' | 'power'>,
): FindingCode | null {
  if (run === undefined) return 'vm-of-unknown-run'
  if (run.kind !== 'restore' || run.endedAt === null) return null
  if (run.outcome === 'failed' || run.outcome === 'cancelled') return 'vm-of-failed-restore'
  return vm.id !== run.targetPlatformVmId && vm.power === 'off' ? 'second-vm-of-restore' : null
}

/** Seconds after the end of a failed restore for which its VM is deleted. Whether somebody had it on since cannot be told, and later it may well be somebody's. */
export const FAILED_VM_S = 3600

/** Why the VM of a failed restore is not to be deleted; null: it may be. */
export function whyKept({ endedAt }: Pick<RunFacts, 'endedAt'>, now: number): string | null {
  if (endedAt !== null && now - Date.parse(endedAt) <= FAILED_VM_S * 1000) return null
  return 'the restore ended more than an hour ago: somebody may have used the VM since, delete it on the platform if nobody did'
}
