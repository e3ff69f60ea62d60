import { RuntimeError } from './errors.ts'

/** Answers when the dependency does, throws when it does not. */
export type Check = () => Promise<unknown>

export interface ReadinessReport {
  readonly ready: boolean
  /** Names of the dependencies that do not answer, in the order they were named. */
  readonly missing: readonly string[]
}

/** How long a check may take before it counts as failed, ms. A load balancer is not patient. */
const BOUND_MS = 2000
/** An answer is used again for this long, ms: probes come from everywhere, without a login. */
const KEEP_MS = 1000

interface Known {
  check: Check | undefined
  /** The check under way: one that hangs is not started a second time. */
  running: Promise<void> | undefined
  /** When it last answered, by performance.now(). */
  answeredAt: number
}

/**
 * Do the things answer that a service needs? All are named at the start, so that a service that still waits for one says so; how each is asked is
 * told as soon as it is open.
 */
export class Readiness {
  readonly #known: ReadonlyMap<string, Known>
  readonly #boundMs: number
  #starting: boolean

  /** `starting`: not ready, whatever answers, until `started` is called. */
  constructor(names: readonly string[], options: { readonly boundMs?: number; readonly starting?: boolean } = {}) {
    this.#starting = options.starting ?? false
    this.#known = new Map(names.map(name => [name, { check: undefined, running: undefined, answeredAt: Number.NEGATIVE_INFINITY }]))
    this.#boundMs = options.boundMs ?? BOUND_MS
  }

  /** From now on the dependency is asked this way. */
  set(name: string, check: Check): void {
    const known = this.#known.get(name)
    if (known === undefined) throw new RuntimeError('CHECK_UNKNOWN', `no dependency is called ${name}`)
    known.check = check
  }

  /** From now on the service itself does what it is asked. */
  started(): void {
    this.#starting = false
  }

  /** Ask all of them, side by side, each within the bound. */
  async report(): Promise<ReadinessReport> {
    const names = [...this.#known.keys()]
    const answers = await Promise.all([...this.#known.values()].map(known => this.#answers(known)))
    const missing = names.filter((_, i) => !answers[i])
    return { ready: missing.length === 0 && !this.#starting, missing }
  }

  async #answers(known: Known): Promise<boolean> {
    const { check } = known
    if (check === undefined) return false
    if (performance.now() - known.answeredAt < KEEP_MS) return true
    known.running ??= Promise.resolve()
      .then(check)
      .then(() => {
        known.answeredAt = performance.now()
      })
      .finally(() => {
        known.running = undefined
      })
    return within(known.running, this.#boundMs)
  }
}

/** Did it succeed in time? */
function within(work: Promise<void>, ms: number): Promise<boolean> {
  return new Promise(resolve => {
    const late = setTimeout(() => resolve(false), ms)
    work.then(
      () => resolve(true),
      () => resolve(false),
    )
    work.catch(() => {}).finally(() => clearTimeout(late))
  })
}
