import type { NbdClient } from '@varve/nbd'
import type { Throttle } from '@varve/range-worker'
import { KeptBuffers } from '@varve/repository'

/** Neighbouring blocks travel together up to this many bytes. */
const MOST_BYTES = 2 * 1024 * 1024
/** Writes under way at the same time: 12 MiB in memory with the open one, and still 500 MB/s where an answer takes 20 ms. */
const DEPTH = 5
/** Zeros carry no bytes, but a server may take its time over them; below the stall limit of the connection. */
const MOST_ZEROS = 256 * 1024 * 1024

/** For the `buffers` of a WriteBehind: as many as one has under way, and the open one. */
export function writeBuffers(): KeptBuffers {
  return new KeptBuffers(DEPTH + 1)
}

/** Holds writes back; zeros pass, they carry no bytes. */
export interface Pace {
  readonly throttle: Pick<Throttle, 'admit'>
  readonly signal: AbortSignal
}

/**
 * Writes to a disk, joined where they meet, several under way. The first failure is thrown at the next call. What is written is copied at once, into a
 * few buffers that are used again: the caller may reuse its own. After a failed write its buffer is not: the connection may still read it.
 */
export class WriteBehind {
  readonly #target: Pick<NbdClient, 'write' | 'writeZeroes' | 'flush'>
  readonly #pace: Pace | undefined
  readonly #underWay = new Set<Promise<void>>()
  /** Of MOST_BYTES each. */
  readonly #buffers: KeptBuffers
  #open: Buffer | undefined
  #offset = 0
  #length = 0
  #failure: { readonly error: unknown } | undefined
  #waitMs = 0
  #heldMs = 0

  constructor(target: Pick<NbdClient, 'write' | 'writeZeroes' | 'flush'>, pace?: Pace, buffers = writeBuffers()) {
    this.#target = target
    this.#pace = pace
    this.#buffers = buffers
  }

  /** Milliseconds waited for the target. */
  get waitMs(): number {
    return this.#waitMs
  }

  /** Milliseconds that writes were held back. */
  get heldMs(): number {
    return this.#heldMs
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const meets = this.#open !== undefined && offset + done === this.#offset + this.#length && this.#length < MOST_BYTES
      if (!meets) {
        await this.#send()
        this.#open = this.#buffers.take(MOST_BYTES)
        this.#offset = offset + done
      }
      const length = Math.min(bytes.length - done, MOST_BYTES - this.#length)
      this.#open!.set(bytes.subarray(done, done + length), this.#length)
      this.#length += length
      done += length
    }
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    for (let at = 0; at < length; at += MOST_ZEROS) {
      await this.#start(() => this.#target.writeZeroes(offset + at, Math.min(MOST_ZEROS, length - at)))
    }
  }

  /** All written and durable. */
  async finish(): Promise<void> {
    await this.#send()
    await this.#until(() => this.#underWay.size === 0)
    await this.#timed(this.#target.flush())
  }

  /** Wait for what is under way, whatever becomes of it. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#underWay)
  }

  async #send(): Promise<void> {
    const buffer = this.#open
    if (buffer === undefined) return
    const [offset, length] = [this.#offset, this.#length]
    this.#open = undefined
    this.#length = 0
    const held = this.#pace?.throttle.admit(length, this.#pace.signal)
    if (held !== undefined) {
      const started = performance.now()
      await held.finally(() => {
        this.#heldMs += performance.now() - started
      })
    }
    await this.#start(() => this.#target.write(offset, buffer.subarray(0, length)), buffer)
  }

  async #start(write: () => Promise<void>, buffer?: Buffer): Promise<void> {
    await this.#until(() => this.#underWay.size < DEPTH)
    const writing = write()
      .then(() => {
        if (buffer !== undefined) this.#buffers.giveBack(buffer)
      })
      .catch(error => {
        this.#failure ??= { error }
      })
      .finally(() => this.#underWay.delete(writing))
    this.#underWay.add(writing)
  }

  async #until(enough: () => boolean): Promise<void> {
    while (!enough()) await this.#timed(Promise.race(this.#underWay))
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #timed<T>(promise: Promise<T>): Promise<T> {
    const started = performance.now()
    try {
      return await promise
    } finally {
      this.#waitMs += performance.now() - started
    }
  }
}
