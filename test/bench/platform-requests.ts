import { type Allowed, REQUESTS, SETTINGS } from './capacity-constants.ts'

/** What a night asks of the platform's API: of each backup, and all the while. */
interface Asked {
  readonly vms: number
  readonly disksPerVm: number
  readonly rangesPerDisk: number
  /** Processes that read; each asks for the address of a disk by itself. */
  readonly readers: number
  /** Runs at a time, each with a lease to be renewed. */
  readonly runs: number
  readonly renewSeconds: number
  /** How long a run copies, seconds. */
  readonly copySeconds: number
}

/**
 * Seconds that the requests of all backups take at the rates the platform allows, less what renewing leases and reading the list of VMs take all the while. Infinite where those alone
 * are more than it allows.
 */
export function requestSeconds(asked: Asked, { getRate, otherRate }: Pick<Allowed, 'getRate' | 'otherRate'>): number {
  const { vms, disksPerVm, rangesPerDisk, readers, runs, renewSeconds, copySeconds } = asked
  // An address is good for a minute.
  const addresses = Math.min(rangesPerDisk, readers * Math.ceil(copySeconds / 60))
  const gets = vms * (REQUESTS.getsPerBackup + disksPerVm * (REQUESTS.getsPerDisk + addresses))
  const others = vms * REQUESTS.othersPerBackup
  const renewals = runs / renewSeconds
  const lists = Math.ceil(vms / REQUESTS.vmsPerPage) / SETTINGS.inventorySeconds
  const left = (rate: number, used: number): number => Math.max(0, rate - used)
  return Math.max(gets / left(getRate, lists + renewals * REQUESTS.getsPerRenewal), others / left(otherRate, renewals))
}
