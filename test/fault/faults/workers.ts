import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import type { Point } from '../driver/points.ts'
import type { WorldOptions } from '../driver/world.ts'

const EIGHT: WorldOptions = { readers: 8, writers: 8 }
const TWO: WorldOptions = { readers: 2, writers: 2 }
const ONE: WorldOptions = { readers: 1, writers: 1 }
const MIDDLE: readonly Point[] = ['middle-range', 'restore-middle-range']
/** All ranges are under way at once, so that half of them done may be all. */
const BEGUN: readonly Point[] = ['first-range', 'restore-first-range']

/** Two are added, one is killed and one stopped in order, while ranges are read or written; so one at least goes on. */
function workersChanged(count: string, world: WorldOptions, where: readonly Point[]): Fault {
  return {
    name: `${count}-workers-changed`,
    title: `${count} block-readers and block-writers: two added in the middle, one killed, one stopped`,
    world,
    where,
    quick: where.slice(0, 1),
    async inject({ world: { services, addService }, point }) {
      const service = point.startsWith('restore') ? 'block-writer' : 'block-reader'
      await addService(service)
      await addService(service)
      await services.get(service)?.kill('SIGKILL')
      await services.get(`${service}-2`)?.kill('SIGTERM')
    },
    // What was killed stays away until the end.
    heal: async () => {},
    expect: SUCCEEDS,
  }
}

export const workersOfOne = workersChanged('one', ONE, MIDDLE)
export const workersOfTwo = workersChanged('two', TWO, MIDDLE)
export const workersOfEight = workersChanged('eight', EIGHT, BEGUN)
