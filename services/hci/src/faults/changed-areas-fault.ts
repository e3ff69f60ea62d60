import type { ChangedAreas } from '../datastore/datastore.ts'
import { type FaultSpec, textParam } from './faults.ts'

/** A changed-areas answer made wrong in the way the fault says. */
export function spoilChangedAreas(answer: ChangedAreas, fault: FaultSpec, diskSize: number): unknown {
  const right = { changed_area: answer.areas, start_offset: answer.startOffset, length: answer.length }
  const granule = 65536
  const first = answer.areas[0] ?? { start: answer.startOffset, length: granule }
  switch (textParam(fault, 'mode', 'overlap')) {
    case 'overlap':
      return { ...right, changed_area: [first, { start: first.start, length: first.length + granule }] }
    case 'backwards':
      return {
        ...right,
        changed_area: [
          { start: first.start + granule, length: granule },
          { start: first.start, length: granule },
        ],
      }
    case 'past-end':
      return { ...right, changed_area: [{ start: diskSize - granule, length: 2 * granule }] }
    case 'empty':
      // The lie that nobody can see from here: only reading the disk again would.
      return { ...right, changed_area: [], length: diskSize - answer.startOffset }
    case 'endless':
      return { ...right, length: 0 }
    default:
      return { changed_area: [{ start: '0', length: -1 }], start_offset: answer.startOffset, length: 'all' }
  }
}
