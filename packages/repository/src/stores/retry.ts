import { sleep } from '@varve/runtime/sleep'
import { RepositoryError } from '../errors.ts'

export interface RetryOptions {
  /** Tries in all. */
  readonly attempts: number
  /** Milliseconds before the second try; doubled each time, up to 5 s, and half of it by chance. */
  readonly backoff: number
  readonly signal: AbortSignal | undefined
  readonly onRetry?: (error: RepositoryError) => void
}

const MAX_BACKOFF_MS = 5_000
/** A store that asks for more patience than this is answered by failing; the job is tried again later. */
const MAX_RETRY_AFTER_MS = 10_000

/** Call again what failed with a retryable RepositoryError. `context.retryAfterMs` is the least wait, when the store says one. */
export async function withRetries<T>(options: RetryOptions, call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted()
    try {
      return await call()
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!(error instanceof RepositoryError) || !error.retryable || attempt >= options.attempts) throw error
      const asked = typeof error.context.retryAfterMs === 'number' ? error.context.retryAfterMs : 0
      if (asked > MAX_RETRY_AFTER_MS) throw error
      options.onRetry?.(error)
      const backoff = Math.min(options.backoff * 2 ** (attempt - 1), MAX_BACKOFF_MS)
      await sleep(Math.max(asked, backoff * (0.5 + Math.random() / 2)), options.signal)
    }
  }
}
