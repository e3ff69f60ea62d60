import { Histogram, type HistogramData } from './histogram.ts'

/** The same object, with the time of each call noted by the method's name. A call that fails counts too. */
export function timed<T extends object>(target: T, times: Map<string, Histogram>): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name)
      if (typeof value !== 'function' || typeof name !== 'string') return value
      return async (...args: unknown[]): Promise<unknown> => {
        const began = performance.now()
        try {
          return await value.apply(object, args)
        } finally {
          const histogram = times.get(name) ?? new Histogram()
          times.set(name, histogram)
          histogram.add(performance.now() - began)
        }
      }
    },
  })
}

export function mergeTimes(into: Map<string, Histogram>, from: Readonly<Record<string, HistogramData>>): void {
  for (const [name, data] of Object.entries(from)) {
    const histogram = into.get(name) ?? new Histogram()
    into.set(name, histogram)
    histogram.merge(data)
  }
}
