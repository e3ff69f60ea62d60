/**
 * Buffers of one length, kept for reuse: fresh memory costs a page fault per 4 KiB, and what is let go waits for a collector that sees no hurry. Memory
 * is only touched as far as it is filled.
 */
export class KeptBuffers {
  readonly #free: Buffer[] = []
  readonly #keep: number

  /** `keep`: so many at most. */
  constructor(keep: number) {
    this.#keep = keep
  }

  /** Holds anything. */
  take(length: number): Buffer {
    // Another length is of another disk: the old ones are of no use any more.
    if (this.#free.length > 0 && this.#free[0]!.length !== length) this.#free.length = 0
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(length)
  }

  /** One that is there, if it is long enough, whatever its length; it holds anything. */
  takeAtLeast(length: number): Buffer {
    return (this.#free[0]?.length ?? 0) >= length ? this.#free.pop()! : Buffer.allocUnsafeSlow(length)
  }

  /** Only for buffers that nothing reads or writes any more. */
  giveBack(buffer: Buffer): void {
    if (this.#free.length > 0 && this.#free[0]!.length !== buffer.length) return
    if (this.#free.length < this.#keep) this.#free.push(buffer)
  }
}
