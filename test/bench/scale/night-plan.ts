/** A night: so many VMs, and so many ranges over all of them. */
export interface Night {
  readonly vms: number
  readonly ranges: number
}

export type Size = 'small' | 'medium' | 'huge'

/** Of a hundred VMs one is huge and has half of all ranges, nine are medium and have three tenths, ninety are small and have the rest. */
export function sizeOf(vm: number): Size {
  const place = vm % 100
  return place === 0 ? 'huge' : place < 10 ? 'medium' : 'small'
}

const SHARE = { huge: 0.5, medium: 0.3, small: 0.2 }
const OF_A_HUNDRED = { huge: 1, medium: 9, small: 90 }

/** Ranges of a VM's two disks; at least one each. */
export function rangesOf(vm: number, { vms, ranges }: Night): readonly [number, number] {
  const size = sizeOf(vm)
  const all = Math.max(2, Math.round((ranges * SHARE[size]) / ((vms * OF_A_HUNDRED[size]) / 100)))
  return [Math.ceil(all / 2), Math.floor(all / 2)]
}
