/** A held or awaited range of grains, `first <= grain <= last`. */
export interface Hold {
  readonly first: number
  readonly last: number
  readonly exclusive: boolean
  granted: boolean
  readonly grant: () => void
}

/**
 * Locks on ranges of grains of one disk, first come first served where they overlap. Shared for writes in place, exclusive
 * where a grain's place changes (copy-on-write, trim, merge). As many entries as requests in flight, so lists do.
 */
export class RangeLock {
  #holds: Hold[] = []

  /** The hold itself when it is free now (no waiting, no promise), else a promise of it. */
  acquire(first: number, last: number, exclusive: boolean): Hold | Promise<Hold> {
    if (!this.#blocked(this.#holds.length, first, last, exclusive)) {
      const hold: Hold = { first, last, exclusive, granted: true, grant: () => {} }
      this.#holds.push(hold)
      return hold
    }
    return new Promise<Hold>(resolve => {
      const hold: Hold = { first, last, exclusive, granted: false, grant: () => resolve(hold) }
      this.#holds.push(hold)
    })
  }

  release(hold: Hold): void {
    const at = this.#holds.indexOf(hold)
    if (at < 0) return
    this.#holds.splice(at, 1)
    for (let i = at; i < this.#holds.length; i++) {
      const waiting = this.#holds[i]!
      if (waiting.granted || this.#blocked(i, waiting.first, waiting.last, waiting.exclusive)) continue
      waiting.granted = true
      waiting.grant()
    }
  }

  /** Does anything that came before position `end` stand in the way? */
  #blocked(end: number, first: number, last: number, exclusive: boolean): boolean {
    for (let i = 0; i < end; i++) {
      const other = this.#holds[i]!
      if (other.first <= last && first <= other.last && (exclusive || other.exclusive)) return true
    }
    return false
  }
}
