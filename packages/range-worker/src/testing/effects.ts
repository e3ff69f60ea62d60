/** Thrown in place of a kill -9: nothing after it is done, whatever the code would do in a catch. */
export class Cut extends Error {}

/** Told of each step: `before catalog.seal`, `after catalog.seal`, and `during` what takes long; may wait, and may throw. */
export type At = (step: string) => void | Promise<void>

export interface WatchOptions {
  /** Methods that give a sequence: each step of it is an effect. */
  readonly sequences?: readonly string[]
  /** Methods that only look at what they are given: no effects. */
  readonly pure?: readonly string[]
  /** Methods that take a callback for the middle of what they do, and as which argument. */
  readonly during?: Readonly<Record<string, number>>
}

/** An object all of whose calls are effects on the world: catalog, platform, store, lanes, the disk behind NBD. */
export function watchEffects<T extends object>(target: T, name: string, at: At, options: WatchOptions = {}): T {
  const proxy: T = new Proxy(target, {
    get(_, key) {
      const value = Reflect.get(target, key, target) as unknown
      if (value === target) return proxy
      if (typeof value !== 'function' || typeof key !== 'string') return value
      if (options.pure?.includes(key)) return value.bind(target) as unknown
      const effect = `${name}.${key}`
      if (options.sequences?.includes(key)) {
        return async function* (...args: unknown[]) {
          await at(`before ${effect}`)
          for await (const item of value.apply(target, args) as AsyncIterable<unknown>) {
            await at(`after ${effect}`)
            yield item
          }
        }
      }
      return async (...args: unknown[]) => {
        await at(`before ${effect}`)
        const place = options.during?.[key]
        if (place !== undefined) args[place] = async () => at(`during ${effect}`)
        const result: unknown = await value.apply(target, args)
        await at(`after ${effect}`)
        return result
      }
    },
  })
  return proxy
}

/**
 * Cuts a process off at the n-th step (1..). A step is the moment before an effect, in its middle, or after it happened but before its answer came. A process that
 * is cut off has no effect any more.
 */
export class CutAt {
  readonly #n: number
  #steps = 0
  /** Where it was cut; null when it came to its end before. */
  where: string | null = null

  constructor(n: number) {
    this.#n = n
  }

  readonly at: At = step => {
    this.#steps += 1
    if (this.#steps < this.#n) return
    this.where ??= step
    throw new Cut(this.where)
  }

  /** Run a job to its end or its cut. Errors of a process that was cut off are nobody's. */
  async run(job: () => Promise<unknown>): Promise<'done' | 'cut'> {
    try {
      await job()
    } catch (error) {
      if (this.where === null) throw error
    }
    return this.where === null ? 'done' : 'cut'
  }
}
