/** Lets writes through, counts those in flight, and can hold new ones back while the rest drains: the instant of a snapshot. */
export class WriteGate {
  #inFlight = 0
  #held: Promise<void> | undefined
  #open: (() => void) | undefined
  #drained: (() => void) | undefined

  /** Wait while held. Returns nothing when there is no need to wait. */
  enter(): undefined | Promise<void> {
    if (this.#held === undefined) {
      this.#inFlight += 1
      return undefined
    }
    return this.#enterLater()
  }

  leave(): void {
    this.#inFlight -= 1
    if (this.#inFlight === 0) this.#drained?.()
  }

  /** From now on new writes wait; resolves when those in flight are done. One holder at a time. */
  async hold(): Promise<void> {
    if (this.#held !== undefined) throw new Error('the gate is held already')
    this.#held = new Promise(resolve => {
      this.#open = resolve
    })
    if (this.#inFlight > 0) {
      await new Promise<void>(resolve => {
        this.#drained = resolve
      })
      this.#drained = undefined
    }
  }

  resume(): void {
    this.#held = undefined
    this.#open?.()
    this.#open = undefined
  }

  async #enterLater(): Promise<void> {
    while (this.#held !== undefined) await this.#held
    this.#inFlight += 1
  }
}
