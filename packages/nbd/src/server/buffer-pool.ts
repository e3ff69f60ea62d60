/** Below this the allocator is as good. */
const SMALLEST = 64 * 1024

/**
 * Buffers of reads and writes, used again: fresh ones cost a page fault for every 4 KiB. Keeps at most `limit` bytes.
 */
export class BufferPool {
  readonly #limit: number
  readonly #free = new Map<number, ArrayBuffer[]>()
  #kept = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** A buffer of `length` bytes with any content. */
  take(length: number): Uint8Array {
    if (length < SMALLEST) return new Uint8Array(length)
    const capacity = 2 ** Math.ceil(Math.log2(length))
    const reused = this.#free.get(capacity)?.pop()
    if (reused === undefined) return new Uint8Array(Buffer.allocUnsafeSlow(capacity).buffer, 0, length)
    this.#kept -= capacity
    return new Uint8Array(reused, 0, length)
  }

  /** Nobody uses it any more. Only for buffers from `take`. */
  give(buffer: Uint8Array): void {
    const memory = buffer.buffer as ArrayBuffer
    const capacity = memory.byteLength
    if (capacity < SMALLEST || this.#kept + capacity > this.#limit) return
    const free = this.#free.get(capacity)
    if (free === undefined) this.#free.set(capacity, [memory])
    else free.push(memory)
    this.#kept += capacity
  }
}
