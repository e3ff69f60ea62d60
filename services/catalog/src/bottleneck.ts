import { RANGE_TIMES, type RangeTime } from '@varve/catalog-client'

/** What most of the time went to; of several that are equal the first on the way. Null: no time was measured yet. */
export function bottleneckOf(times: Readonly<Record<RangeTime, number>>): RangeTime | null {
  let most: RangeTime | null = null
  for (const what of RANGE_TIMES) if (times[what] > (most === null ? 0 : times[most])) most = what
  return most
}
