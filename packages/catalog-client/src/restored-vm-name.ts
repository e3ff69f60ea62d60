import type { RestoreOptions, RunForWork } from './types.ts'

/** The name that a restore gives to the VM it makes. */
export function restoredVmName({ options, vmName, createdAt }: Pick<RunForWork, 'options' | 'vmName' | 'createdAt'>): string {
  // 2026-11-22T23:25:31.000Z -> 20261122-232531
  const time = createdAt.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
  return (options as RestoreOptions).name ?? `${vmName}-restored-${time}`
}
