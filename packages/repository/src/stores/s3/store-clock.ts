/** Less than what stores bear (S3: 15 minutes), more than clocks that are kept differ. */
const FAR_MS = 5 * 60_000

/**
 * The time that requests are signed with: ours, until the store refuses one and its own clock is far from what was signed. Then its own, so that a
 * machine whose clock jumped goes on; nothing but signatures uses it.
 */
export class StoreClock {
  #aheadMs = 0
  #corrections = 0

  now(): Date {
    return new Date(Date.now() + this.#aheadMs)
  }

  /** Does it differ from ours? */
  get isCorrected(): boolean {
    return this.#aheadMs !== 0
  }

  /** How often it was set. */
  get corrections(): number {
    return this.#corrections
  }

  /**
   * The store refused a request that was signed with one time, and has another.
   *
   * @param date of its answer
   * @returns whether asking again by that time may help
   */
  learn(date: unknown, signedAt: Date): boolean {
    const theirs = Date.parse(String(date))
    if (Number.isNaN(theirs) || Math.abs(theirs - signedAt.getTime()) < FAR_MS) return false
    this.#aheadMs = theirs - Date.now()
    this.#corrections += 1
    return true
  }
}
