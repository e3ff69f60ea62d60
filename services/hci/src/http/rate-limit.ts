/** Calls counted per caller in windows of one minute that start with the caller's first call. */
export class RateLimit {
  readonly #limit: number
  readonly #windows = new Map<string, { until: number; calls: number }>()

  /** @param limit calls a minute; 0 = no limit. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Counts the call. Seconds to wait when it is one too many, else 0. */
  take(caller: string, now: number): number {
    if (this.#limit === 0) return 0
    const window = this.#windows.get(caller)
    if (window === undefined || window.until <= now) {
      if (this.#windows.size >= 10_000) this.#forget(now)
      this.#windows.set(caller, { until: now + 60_000, calls: 1 })
      return 0
    }
    window.calls += 1
    return window.calls > this.#limit ? Math.ceil((window.until - now) / 1000) : 0
  }

  #forget(now: number): void {
    for (const [caller, { until }] of this.#windows) if (until <= now) this.#windows.delete(caller)
    // Ten thousand callers within a minute: forgetting a count is cheaper than growing without bound.
    if (this.#windows.size >= 10_000) this.#windows.clear()
  }
}
