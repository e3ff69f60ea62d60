/** Seconds of the rate that an idle connection saves up: enough to keep reads in flight, too little to notice on the wire. */
const BURST_SECONDS = 0.25

/**
 * Bytes against time. Taking always succeeds and says how long to wait before the bytes may travel: who comes later waits behind, so that any number of
 * requests at the same time keeps to the rate together. Pure: times are arguments, ms, of any clock that does not go back.
 */
export class TokenBucket {
  #bytesPerSecond: number
  /** Bytes that may travel at once; negative: promised already. */
  #level: number
  #at: number

  constructor(bytesPerSecond: number, now: number) {
    this.#bytesPerSecond = bytesPerSecond
    this.#level = bytesPerSecond * BURST_SECONDS
    this.#at = now
  }

  /** What was promised stays promised, at the new rate. */
  setRate(bytesPerSecond: number, now: number): void {
    this.#refill(now)
    this.#bytesPerSecond = bytesPerSecond
    this.#level = Math.min(this.#level, bytesPerSecond * BURST_SECONDS)
  }

  /** @returns ms until the bytes may travel */
  take(bytes: number, now: number): number {
    this.#refill(now)
    this.#level -= bytes
    return this.#level >= 0 ? 0 : (-this.#level / this.#bytesPerSecond) * 1000
  }

  #refill(now: number): void {
    const earned = (Math.max(0, now - this.#at) / 1000) * this.#bytesPerSecond
    this.#level = Math.min(this.#level + earned, this.#bytesPerSecond * BURST_SECONDS)
    this.#at = Math.max(this.#at, now)
  }
}
