import type { GetBuffers } from './fetch-ahead.ts'

/**
 * Sizes are rounded up to these, a block and a get of blocks, so that buffers fit the next get too: with more sizes each has its own few idle ones.
 * Nothing longer is kept.
 */
const SIZES = [256 * 1024, 4 * 1024 * 1024, 8 * 1024 * 1024]

/**
 * Buffers for what is read back, kept for reuse up to `keep` bytes: fresh memory costs a page fault for each 4 KiB, and leaves the collector hundreds
 * of MiB behind that it learns of too late.
 */
export class ReadBuffers implements GetBuffers {
  readonly #free = new Map<number, Uint8Array[]>()
  readonly #keep: number
  #kept = 0

  constructor(keep: number) {
    this.#keep = keep
  }

  /** At least `length` bytes of anything. */
  take(length: number): Uint8Array {
    const size = SIZES.find(candidate => candidate >= length) ?? length
    const buffer = this.#free.get(size)?.pop()
    if (buffer === undefined) return Buffer.allocUnsafeSlow(size)
    this.#kept -= size
    return buffer
  }

  /** Only for buffers that nothing reads or writes any more. */
  giveBack(buffer: Uint8Array): void {
    if (this.#kept + buffer.length > this.#keep || !SIZES.includes(buffer.length)) return
    const list = this.#free.get(buffer.length)
    if (list === undefined) this.#free.set(buffer.length, [buffer])
    else list.push(buffer)
    this.#kept += buffer.length
  }
}
