import type { Measured } from './measure.ts'

/** All runs of all subjects, in order: the n-th run of each is of round n, so that two of them can be compared pair by pair. */
export class Samples {
  readonly #runs = new Map<string, Measured[]>()

  get names(): readonly string[] {
    return [...this.#runs.keys()]
  }

  add(name: string, measured: Measured): void {
    this.#runs.set(name, [...this.of(name), measured])
  }

  of(name: string): readonly Measured[] {
    return this.#runs.get(name) ?? []
  }

  /** Undefined when it was not measured. */
  median(name: string, figure: string = 'wall'): number | undefined {
    return medianOf(this.#figures(name, figure))
  }

  /** The most of any round, for what must never be. */
  most(name: string, figure: string): number | undefined {
    const figures = this.#figures(name, figure)
    return figures.length === 0 ? undefined : Math.max(...figures)
  }

  /** The median over the rounds of `a / b`: what disturbs both of a round cancels out. */
  ratio(a: string | undefined, b: string | undefined, figure: string = 'wall'): number | undefined {
    if (a === undefined || b === undefined) return undefined
    const below = this.of(b)
    const ratios = this.of(a).map((run, round) => (run[figure] ?? Number.NaN) / (below[round]?.[figure] ?? Number.NaN))
    return medianOf(ratios.filter(Number.isFinite))
  }

  /** The one of these with the smallest median. */
  best(names: readonly string[], figure: string = 'wall'): string | undefined {
    const measured = names.filter(name => this.median(name, figure) !== undefined)
    return measured.toSorted((a, b) => this.median(a, figure)! - this.median(b, figure)!)[0]
  }

  #figures(name: string, figure: string): number[] {
    return this.of(name)
      .map(run => run[figure])
      .filter(value => value !== undefined)
  }
}

export function medianOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : median(values)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** In another unit; what was not measured stays so. */
export function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor
}
