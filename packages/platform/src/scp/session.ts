import { abortable } from '@varve/runtime'
import type { PlatformConnection } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { type SigningKey, signRequest } from './access-key.ts'
import { Login } from './login.ts'
import type { ScpOptions } from './options.ts'
import type { Transport } from './transport.ts'

/** Wrong credentials are not sent again for this long, ms: repeated logins lock accounts. */
const REFUSED_PAUSE_MS = 30_000

/** Who we are to the platform: a token that is renewed when the platform no longer takes it, or a signature on each request. */
export interface Session {
  /** Headers that authorise one request. */
  authorise(method: string, path: string, body: string, signal?: AbortSignal): Promise<Readonly<Record<string, string>>>
  /** The platform answered 401 to these headers. True when a further try with new ones makes sense. */
  renew(refused: Readonly<Record<string, string>>): boolean
}

export function openSession(connection: PlatformConnection, transport: Transport, options: ScpOptions): Session {
  const { credentials } = connection
  if ('accessKey' in credentials) {
    return signedSession({
      ...credentials,
      region: options.signing?.region ?? 'cn-south-1',
      service: options.signing?.service ?? 'open-api',
      signedHeaders: options.signing?.headers ?? ['x-amz-date'],
    })
  }
  return new TokenSession(new Login(transport, credentials, options))
}

function signedSession(key: SigningKey): Session {
  return {
    authorise: async (method, path, body) => signRequest(key, method, path, body, new Date()),
    renew: () => false,
  }
}

/** Lifetimes of tokens are not documented, so none is assumed: a 401 means "log in again". */
class TokenSession implements Session {
  readonly #login: Login
  #token: Promise<string> | undefined
  #current: string | undefined
  #refused: { readonly error: PlatformError; readonly until: number } | undefined

  constructor(login: Login) {
    this.#login = login
  }

  async authorise(_method: string, _path: string, _body: string, signal?: AbortSignal): Promise<Readonly<Record<string, string>>> {
    if (this.#refused !== undefined && performance.now() < this.#refused.until) throw this.#refused.error
    // One login for all who wait for it; it is nobody's to abort.
    this.#token ??= this.#logIn()
    return { authorization: `Token ${await abortable(this.#token, signal)}` }
  }

  renew(refused: Readonly<Record<string, string>>): boolean {
    // Another request may have logged in meanwhile, or be at it.
    if (this.#current !== undefined && refused.authorization === `Token ${this.#current}`) {
      this.#current = undefined
      this.#token = undefined
    }
    return true
  }

  async #logIn(): Promise<string> {
    try {
      this.#current = await this.#login.run()
      this.#refused = undefined
      return this.#current
    } catch (error) {
      this.#token = undefined
      if (error instanceof PlatformError && error.code === 'PLATFORM_AUTH_FAILED') {
        this.#refused = { error, until: performance.now() + REFUSED_PAUSE_MS }
      }
      throw error
    }
  }
}
