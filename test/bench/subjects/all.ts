import type { Subject } from '../subject.ts'
import { bareS3 } from './bare-s3.ts'
import { full } from './full.ts'
import { guestWrite } from './guest-write.ts'
import { incremental } from './incremental.ts'
import { lanes } from './lanes.ts'
import { memory } from './memory.ts'
import { micro } from './micro.ts'
import { nbdRead } from './nbd-read.ts'
import { noise } from './noise.ts'
import { prediction } from './prediction.ts'
import { restore } from './restore.ts'
import { restoreLatency } from './restore-latency.ts'
import { scaling } from './scaling.ts'
import { sparse } from './sparse.ts'
import { start } from './start.ts'

/** In groups: what is in one shares disk and systems, and its rounds are interleaved; what it opened ends with it. */
export const GROUPS: readonly (readonly Subject[])[] = [
  [nbdRead, lanes],
  [bareS3, full, incremental, restore],
  [noise, start, sparse, prediction],
  [guestWrite],
  [scaling],
  [restoreLatency],
  [memory],
  [micro],
]

/**
 * Those that were asked for, with those that they build on; groups that are left empty go.
 *
 * @throws TypeError for a name that nobody has
 */
export function selected(only: ReadonlySet<string> | undefined): Subject[][] {
  const all = GROUPS.flat()
  const wanted = new Set(only ?? all.map(({ name }) => name))
  for (const name of wanted) {
    const subject = all.find(one => one.name === name)
    if (subject === undefined) throw new TypeError(`there is no subject ${name}; there are ${all.map(one => one.name).join(', ')}`)
    for (const other of subject.after ?? []) wanted.add(other)
  }
  return GROUPS.map(group => group.filter(({ name }) => wanted.has(name))).filter(group => group.length > 0)
}
