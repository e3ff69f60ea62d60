import type { Fault } from './fault.ts'
import type { WorldOptions } from './world.ts'

/** Who takes which fault next, so that worlds are started seldom and the last lane is not alone for long. */
export class WorldQueue {
  readonly #left: { readonly fault: Fault; readonly injections: number }[]

  constructor(faults: readonly Fault[], injectionsOf: (fault: Fault) => number) {
    this.#left = faults.map(fault => ({ fault, injections: injectionsOf(fault) })).sort((a, b) => b.injections - a.injections)
  }

  /** The longest for the world that runs; else the longest of the world with most to do. */
  take(running?: { readonly options: WorldOptions | undefined }): Fault | undefined {
    const goesOn = running !== undefined && this.#left.some(({ fault }) => fault.world === running.options)
    const key = goesOn ? running.options : this.#fullest()
    const at = this.#left.findIndex(({ fault }) => fault.world === key)
    return at < 0 ? undefined : this.#left.splice(at, 1)[0]?.fault
  }

  #fullest(): WorldOptions | undefined {
    const sums = new Map<WorldOptions | undefined, number>()
    for (const { fault, injections } of this.#left) sums.set(fault.world, (sums.get(fault.world) ?? 0) + injections)
    return [...sums].sort((a, b) => b[1] - a[1])[0]?.[0]
  }
}
