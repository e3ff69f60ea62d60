import { type Estate, night } from './capacity.ts'
import { ALLOWED, type Allowed, MEASURED, type Measured, RANGE } from './capacity-constants.ts'

/**
 * A night played through range by range: runs are let in as others end and as the platform answers their requests, a lane takes the next range of any run, what is shared (cores, hosts,
 * the way to the store, catalog and queue) is divided among the lanes that are busy when a range begins, and a run has its place until its snapshot is merged.
 * Seconds; for comparing with the formula, which knows nothing of order and of ends.
 */
export function simulatedNight(estate: Estate, measured: Measured = MEASURED, allowed: Allowed = ALLOWED): number {
  const { vms, disksPerVm, hosts, readerCores, storeRate } = estate
  const { read, stored, ranges, puts, runs, open, needs, mergeSeconds } = night(estate, measured, allowed)
  const alone = (name: string): number => needs.find(({ resource }) => resource === name)!.seconds
  const shared = Math.min(
    readerCores * measured.coreRate,
    hosts * allowed.hostRate,
    storeRate * (read / stored),
    (allowed.putRate / puts) * read,
    measured.rangeRate * (read / ranges),
    read / alone('Redis'),
  )
  const asking = alone('API requests') / vms
  const perRun = splitEvenly(read / vms, disksPerVm)
  const half = measured.runSeconds / 2
  const free = Array.from({ length: open }, () => 0)
  const ended: number[] = []
  for (let vm = 0; vm < vms; vm++) {
    // It is let in when a place is free: when the run that is so many before has ended.
    const ready = Math.max(vm < runs ? 0 : ended[vm - runs]!, vm * asking) + half
    let last = ready
    for (const bytes of perRun) {
      const lane = earliest(free)
      const begin = Math.max(free[lane]!, ready)
      const busy = free.reduce((count, until) => count + (until > begin ? 1 : 0), 1)
      const end = begin + bytes / Math.min(allowed.connectionRate, shared / busy)
      free[lane] = end
      last = Math.max(last, end)
    }
    ended.push(last + half + mergeSeconds)
  }
  return Math.max(...ended)
}

/** The ranges of one VM, its disks all alike. */
function splitEvenly(bytes: number, disks: number): number[] {
  const each = Math.ceil(bytes / disks / RANGE)
  return Array.from({ length: disks * each }, () => bytes / disks / each)
}

function earliest(times: readonly number[]): number {
  let least = 0
  for (let n = 1; n < times.length; n++) if (times[n]! < times[least]!) least = n
  return least
}
