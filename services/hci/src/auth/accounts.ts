import { createHash, timingSafeEqual } from 'node:crypto'

export interface Account {
  readonly username: string
  readonly password: string
}

export interface AccessKey {
  readonly accessKey: string
  readonly secretKey: string
}

/** Who may call. Comparisons take the same time for any wrong password. */
export class Accounts {
  readonly #passwords: ReadonlyMap<string, string>
  readonly #secretKeys: ReadonlyMap<string, string>

  constructor(accounts: readonly Account[], accessKeys: readonly AccessKey[]) {
    this.#passwords = new Map(accounts.map(a => [a.username, a.password]))
    this.#secretKeys = new Map(accessKeys.map(k => [k.accessKey, k.secretKey]))
  }

  passwordMatches(username: string, password: string): boolean {
    const expected = this.#passwords.get(username)
    const same = timingSafeEqual(digest(expected ?? ''), digest(password))
    return same && expected !== undefined && expected !== ''
  }

  secretKey(accessKey: string): string | undefined {
    return this.#secretKeys.get(accessKey)
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
