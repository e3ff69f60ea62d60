// Not the whole runtime: each lane would load its logger.
import { sleep } from '@varve/runtime/sleep'
import { TokenBucket } from './token-bucket.ts'

/** The limit of one connection; it stays with the connection from range to range. */
export class Throttle {
  #bucket: TokenBucket | undefined

  /** `null`: as fast as it goes. */
  limit(bytesPerSecond: number | null): void {
    const now = performance.now()
    if (bytesPerSecond === null) this.#bucket = undefined
    else if (this.#bucket === undefined) this.#bucket = new TokenBucket(bytesPerSecond, now)
    else this.#bucket.setRate(bytesPerSecond, now)
  }

  /** Until these bytes may travel; undefined: they may at once. Rejects with the signal's reason. */
  admit(bytes: number, signal: AbortSignal): Promise<void> | undefined {
    const wait = this.#bucket?.take(bytes, performance.now()) ?? 0
    return wait > 0 ? sleep(wait, signal) : undefined
  }
}
