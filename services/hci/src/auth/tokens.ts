import { createHash, randomBytes } from 'node:crypto'
import { HciError } from '../errors.ts'

const KEPT_AT_MOST = 10_000

/** Login tokens, in memory: a restart makes every client log in again, as an expired token does. */
export class Tokens {
  readonly #ttlMs: number
  readonly #tokens = new Map<string, { user: string; expires: number }>()

  constructor(ttlSeconds: number) {
    this.#ttlMs = ttlSeconds * 1000
  }

  issue(user: string, now: number): { readonly id: string; readonly expires: number } {
    if (this.#tokens.size >= KEPT_AT_MOST) {
      for (const [key, token] of this.#tokens) if (token.expires <= now || this.#tokens.size >= KEPT_AT_MOST) this.#tokens.delete(key)
    }
    const id = randomBytes(24).toString('hex')
    const expires = now + this.#ttlMs
    this.#tokens.set(hashed(id), { user, expires })
    return { id, expires }
  }

  /** The user of a token, or TOKEN_EXPIRED. */
  check(id: string, now: number): string {
    const key = hashed(id)
    const token = this.#tokens.get(key)
    if (token === undefined || token.expires <= now) {
      this.#tokens.delete(key)
      throw new HciError('TOKEN_EXPIRED', 'the token is unknown or has expired, log in again')
    }
    return token.user
  }

  /** Every token ends now (scripted faults, changed passwords). */
  expireAll(): void {
    this.#tokens.clear()
  }
}

/** Looking up a hash leaks nothing about the token by the time it takes. */
function hashed(id: string): string {
  return createHash('sha256').update(id).digest('base64')
}
