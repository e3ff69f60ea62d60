/** A store that refuses for the time again although we already sign by its own clock: it is not the clock. */
const SAME_MS = 60_000

/**
 * The time that requests are signed with: ours, until the store says that it differs too much from its own (15 minutes with S3). Then its own, so that
 * a machine whose clock jumped goes on; nothing but signatures uses it.
 */
export class StoreClock {
  #aheadMs = 0

  now(): Date {
    return new Date(Date.now() + this.#aheadMs)
  }

  /** The store refused a request for its time and says what it has. @returns whether asking again by that time may help */
  learn(date: unknown): boolean {
    const theirs = Date.parse(String(date))
    if (Number.isNaN(theirs)) return false
    const aheadMs = theirs - Date.now()
    const isNew = Math.abs(aheadMs - this.#aheadMs) > SAME_MS
    this.#aheadMs = aheadMs
    return isNew
  }
}
