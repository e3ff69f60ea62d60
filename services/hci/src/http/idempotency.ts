import { createHash } from 'node:crypto'

/** A stored answer to a call that carried an `X-Client-Token`. */
export interface StoredAnswer {
  readonly status: number
  readonly body: string
}

interface Entry {
  readonly bodyHash: string
  readonly expires: number
  readonly answer: Promise<StoredAnswer | undefined>
  readonly settle: (answer: StoredAnswer | undefined) => void
}

const KEPT_MS = 15 * 60_000
const KEPT_AT_MOST = 10_000

/**
 * `X-Client-Token` on POST and PUT: the same token on the same call within 15 minutes gets the first answer again and does nothing. A call
 * that comes while the first still runs waits for it. Only successes are kept: a refused call may be repeated.
 */
export class Idempotency {
  readonly #entries = new Map<string, Entry>()

  /** `undefined`: this call is the first and must `settle`; `'mismatch'`: the token was used with another body. */
  async begin(key: string, body: string, now: number): Promise<StoredAnswer | 'mismatch' | undefined> {
    const bodyHash = createHash('sha256').update(body).digest('hex')
    for (;;) {
      const entry = this.#entries.get(key)
      if (entry === undefined || entry.expires <= now) break
      if (entry.bodyHash !== bodyHash) return 'mismatch'
      const answer = await entry.answer
      if (answer !== undefined) return answer
      // The first call was refused and its entry removed; another waiter may have begun meanwhile: look again.
    }
    if (this.#entries.size >= KEPT_AT_MOST) {
      const oldest = this.#entries.keys().next().value
      if (oldest !== undefined) this.#entries.delete(oldest)
    }
    let settle: Entry['settle'] = () => {}
    const answer = new Promise<StoredAnswer | undefined>(resolve => {
      settle = resolve
    })
    this.#entries.delete(key)
    this.#entries.set(key, { bodyHash, expires: now + KEPT_MS, answer, settle })
    return undefined
  }

  settle(key: string, answer: StoredAnswer | undefined): void {
    const entry = this.#entries.get(key)
    if (answer === undefined) this.#entries.delete(key)
    entry?.settle(answer)
  }
}
