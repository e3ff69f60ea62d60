import { constants, createPublicKey, type KeyObject, publicEncrypt, randomBytes } from 'node:crypto'
import Type from 'typebox'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'
import { type Answer, openEnvelope } from './envelope.ts'
import { SCP_DEFAULTS, type ScpOptions } from './options.ts'
import { Patience } from './patience.ts'
import type { Transport, WireAnswer, WireRequest } from './transport.ts'

const publicKeyAnswer = answerCheck(Type.Object({ public_key: Type.String({ minLength: 2, maxLength: 4096 }) }))
const tokenAnswer = answerCheck(
  Type.Object({ access: Type.Object({ token: Type.Object({ id: Type.String({ pattern: '^[\\x21-\\x7e]{1,4096}$' }) }) }) }),
)

const VERSIONS = {
  // Password-free call, yet clients send a cookie; `v2/public-key` answers 401 to one.
  v1: { key: '/janus/public-key', authenticate: '/janus/authenticate', cookie: true },
  v2: { key: '/janus/v2/public-key', authenticate: '/janus/v2/authenticate', cookie: false },
} as const
type Version = keyof typeof VERSIONS

/**
 * Password login. The password goes out encrypted under the platform's RSA key, as hex: PKCS#1 v1.5 in the older call, OAEP in the newer one
 * (SCP 6.11.3). The older is tried first; when it is unknown or refuses, the newer. What worked is remembered.
 */
export class Login {
  readonly #transport: Transport
  readonly #credentials: { readonly username: string; readonly password: string }
  readonly #options: ScpOptions
  #works: Version | undefined

  constructor(transport: Transport, credentials: { readonly username: string; readonly password: string }, options: ScpOptions) {
    this.#transport = transport
    this.#credentials = credentials
    this.#options = options
  }

  /** A new token. @throws PlatformError PLATFORM_AUTH_FAILED, PLATFORM_UNREACHABLE, PLATFORM_THROTTLED, PLATFORM_ANSWER_INVALID */
  async run(): Promise<string> {
    const first = await this.#try(this.#works ?? 'v1')
    if (typeof first === 'string') return first
    if (this.#works === undefined) {
      const second = await this.#try('v2')
      if (typeof second === 'string') return second
    }
    throw new PlatformError(
      'PLATFORM_AUTH_FAILED',
      `log in as ${this.#credentials.username}: ${first.message || `the platform answered ${first.status}`}`,
      {
        status: first.status,
      },
    )
  }

  /** A token, or how the platform refused. */
  async #try(version: Version): Promise<string | Extract<Answer, { ok: false }>> {
    const { key, authenticate, cookie } = VERSIONS[version]
    const headers: Record<string, string> = cookie ? { cookie: `aCMPAuthToken=${randomBytes(16).toString('hex')}` } : {}
    const keyAnswer = await this.#send({ method: 'GET', path: key, headers, body: '' })
    if (!keyAnswer.ok) return keyAnswer
    const publicKey = rsaKey(publicKeyAnswer('public key', keyAnswer.data).public_key)
    const password = this.#encrypt(publicKey, version).toString('hex')
    const body = JSON.stringify({ auth: { passwordCredentials: { username: this.#credentials.username, password } } })
    const answer = await this.#send({ method: 'POST', path: authenticate, headers, body })
    if (!answer.ok) return answer
    this.#works = version
    return tokenAnswer('login', answer.data).access.token.id
  }

  #encrypt(key: KeyObject, version: Version): Buffer {
    const password = Buffer.from(this.#credentials.password, 'utf8')
    try {
      return version === 'v1'
        ? publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, password)
        : publicEncrypt(
            { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: this.#options.oaepHash ?? SCP_DEFAULTS.oaepHash },
            password,
          )
    } catch (cause) {
      throw new PlatformError('PLATFORM_AUTH_FAILED', 'the password does not fit the key of the platform', {}, { cause })
    }
  }

  /** Logging in changes nothing on the platform, so it may be repeated. The public-key calls answer 403 when there are too many in a minute. */
  async #send(request: WireRequest): Promise<Answer> {
    const patience = new Patience('log in', this.#options)
    for (;;) {
      let answer: WireAnswer
      try {
        answer = await this.#transport.send(request, undefined)
      } catch (error) {
        await patience.afterFailure(error)
        continue
      }
      const { status, retryAfter, body } = answer
      if (status === 429 || (status === 403 && request.method === 'GET')) {
        await patience.afterThrottle(retryAfter)
      } else if (status >= 500) {
        await patience.afterFailure(new PlatformError('PLATFORM_UNREACHABLE', `log in: the platform answered ${status}`, { status }))
      } else {
        return openEnvelope(status, body)
      }
    }
  }
}

/** The key from its modulus: hex, in the samples with a newline behind. The exponent is 65537. */
function rsaKey(modulus: string): KeyObject {
  const hex = modulus.trim()
  if (!/^([0-9a-f]{2}){128,1024}$/i.test(hex)) throw new PlatformError('PLATFORM_ANSWER_INVALID', 'public key: not an RSA modulus in hex')
  try {
    return createPublicKey({ key: { kty: 'RSA', n: Buffer.from(hex, 'hex').toString('base64url'), e: 'AQAB' }, format: 'jwk' })
  } catch (cause) {
    throw new PlatformError('PLATFORM_ANSWER_INVALID', 'public key: not usable', {}, { cause })
  }
}
