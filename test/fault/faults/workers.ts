import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import type { WorldOptions } from '../driver/world.ts'

const EIGHT: WorldOptions = { readers: 8, writers: 8 }
const TWO: WorldOptions = { readers: 2, writers: 2 }
const ONE: WorldOptions = { readers: 1, writers: 1 }
const MIDDLE = ['middle-range', 'restore-middle-range'] as const

/** Two are added, one is killed and one stopped in order, while ranges are read or written; so one at least goes on. */
function workersChanged(count: string, world: WorldOptions): Fault {
  return {
    name: `${count}-workers-changed`,
    title: `${count} block-readers and block-writers: two added in the middle, one killed, one stopped`,
    world,
    where: [...MIDDLE],
    quick: ['middle-range'],
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

export const workersOfOne = workersChanged('one', ONE)
export const workersOfTwo = workersChanged('two', TWO)
export const workersOfEight = workersChanged('eight', EIGHT)
