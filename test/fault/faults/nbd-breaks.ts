import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { platformFault } from '../driver/platform-fault.ts'

/** Disk data that stops, or is not what it should be. */
function breaks(mode: 'drop' | 'stall' | 'garbage', title: string): Fault {
  return platformFault({
    name: `nbd-${mode}`,
    title: `NBD: ${title}, on three connections`,
    where: ['before-lease', 'restore-before-lease'],
    quick: mode === 'stall' ? ['before-lease'] : ['restore-before-lease'],
    faults: ({ random }) => [{ kind: 'nbd', count: 3, params: { mode, after_bytes: 1000 + random.below(1_000_000) } }],
    expect: SUCCEEDS,
  })
}

export const nbdBreaks: readonly Fault[] = [
  breaks('drop', 'dropped in mid-reply'),
  breaks('stall', 'silence in mid-reply'),
  breaks('garbage', 'garbage in mid-reply'),
]
