import type { NbdClient } from '@varve/nbd'

/** Neighbouring blocks travel together up to this many bytes. */
const MOST_BYTES = 2 * 1024 * 1024
/** Writes under way at the same time. */
const DEPTH = 8
/** Zeros carry no bytes, but a server may take its time over them; below the stall limit of the connection. */
const MOST_ZEROS = 256 * 1024 * 1024

/** Writes to a disk, joined where they meet, several under way. The first failure is thrown at the next call. */
export class WriteBehind {
  readonly #target: Pick<NbdClient, 'write' | 'writeZeroes' | 'flush'>
  readonly #underWay = new Set<Promise<void>>()
  #gathered: Uint8Array[] = []
  #offset = 0
  #length = 0
  #failure: { readonly error: unknown } | undefined
  #waitMs = 0

  constructor(target: Pick<NbdClient, 'write' | 'writeZeroes' | 'flush'>) {
    this.#target = target
  }

  /** Milliseconds waited for the target. */
  get waitMs(): number {
    return this.#waitMs
  }

  /** Leave `bytes` as they are until `finish` resolves. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const meets = this.#length > 0 && offset === this.#offset + this.#length && this.#length + bytes.length <= MOST_BYTES
    if (!meets) {
      await this.#send()
      this.#offset = offset
    }
    this.#gathered.push(bytes)
    this.#length += bytes.length
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
    if (this.#length === 0) return
    const [first] = this.#gathered
    const bytes = this.#gathered.length === 1 ? first! : Buffer.concat(this.#gathered, this.#length)
    const offset = this.#offset
    this.#gathered = []
    this.#length = 0
    await this.#start(() => this.#target.write(offset, bytes))
  }

  async #start(write: () => Promise<void>): Promise<void> {
    await this.#until(() => this.#underWay.size < DEPTH)
    const writing = write()
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
