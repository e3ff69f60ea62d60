import { sleep } from '@varve/runtime'
import { PlatformError } from '../errors.ts'
import { SCP_DEFAULTS, type ScpOptions } from './options.ts'

/** Longest pause between two tries of a request, ms. */
const PAUSE_MAX_MS = 3000
/** Shortest and longest single pause because the platform asks to wait, ms. */
const THROTTLE_PAUSE_MIN_MS = 100
const THROTTLE_PAUSE_MAX_MS = 120_000

/** How long one call goes on in spite of failures: so many tries when the platform fails, so much time when it asks to wait. */
export class Patience {
  readonly #what: string
  readonly #options: ScpOptions
  readonly #signal: AbortSignal | undefined
  #failures = 0
  #throttledMs = 0
  #pause: number

  constructor(what: string, options: ScpOptions, signal?: AbortSignal) {
    this.#what = what
    this.#options = options
    this.#signal = signal
    this.#pause = options.retryPauseMs ?? SCP_DEFAULTS.retryPauseMs
  }

  /** Returns when it is time for the next try. Throws `error` when it would not help: a refusal, or one failure too many. */
  async afterFailure(error: unknown): Promise<void> {
    this.#failures += 1
    const again =
      error instanceof PlatformError &&
      error.code === 'PLATFORM_UNREACHABLE' &&
      this.#failures < (this.#options.tries ?? SCP_DEFAULTS.tries)
    if (!again) throw error
    this.#options.log?.debug({ err: error, what: this.#what, failures: this.#failures }, 'platform call failed, trying again')
    await sleep(this.#pause * (0.75 + Math.random() / 2), this.#signal)
    this.#grow()
  }

  /** Waits as `Retry-After` says, or a growing while. @throws PlatformError PLATFORM_THROTTLED when it takes too long altogether */
  async afterThrottle(retryAfter: string | undefined): Promise<void> {
    const wait = Math.max(retryAfterMs(retryAfter, Date.now()) ?? 1000, this.#pause, THROTTLE_PAUSE_MIN_MS)
    this.#throttledMs += wait
    if (this.#throttledMs > (this.#options.throttleMs ?? SCP_DEFAULTS.throttleMs)) {
      throw new PlatformError('PLATFORM_THROTTLED', `${this.#what}: the platform asks to wait longer than we do`, {
        throttledMs: this.#throttledMs,
      })
    }
    this.#options.log?.debug({ what: this.#what, waitMs: wait }, 'platform asks to wait')
    await sleep(wait, this.#signal)
    this.#grow()
  }

  #grow(): void {
    this.#pause = Math.min(this.#pause * 2, PAUSE_MAX_MS)
  }
}

/** `Retry-After`: seconds or an HTTP date. Undefined when absent or unreadable. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d{1,9}$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), THROTTLE_PAUSE_MAX_MS) : undefined
}
