/**
 * Buffers for packs being filled or sent, kept for reuse: fresh memory of that size costs a page fault per 4 KiB. Memory is
 * only touched as far as packs fill it.
 */
export class PackBuffers {
  readonly #free: Buffer[] = []
  readonly #keep: number

  constructor(keep: number) {
    this.#keep = keep
  }

  take(capacity: number): Buffer {
    const at = this.#free.findIndex(buffer => buffer.length === capacity)
    return at < 0 ? Buffer.allocUnsafeSlow(capacity) : this.#free.splice(at, 1)[0]!
  }

  /** Only for buffers that nothing reads any more. */
  giveBack(buffer: Buffer): void {
    if (this.#free.length < this.#keep) this.#free.push(buffer)
  }
}
