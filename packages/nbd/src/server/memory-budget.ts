/**
 * Payload bytes that all connections together hold. A request may be taken while less than `limit` is held, so one request of any
 * length always fits, and the bound is passed by at most one request.
 */
export class MemoryBudget {
  readonly #limit: number
  readonly #waiting = new Set<() => void>()
  #held = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get available(): boolean {
    return this.#held < this.#limit
  }

  take(bytes: number): void {
    this.#held += bytes
  }

  give(bytes: number): void {
    this.#held -= bytes
    if (!this.available) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Call `wake` once when there is room again; several calls with the same function are one. */
  whenAvailable(wake: () => void): void {
    this.#waiting.add(wake)
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }
}
