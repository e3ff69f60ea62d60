import { HciError } from '../errors.ts'
import { type App, pathOf } from '../http/app.ts'
import { RateLimit } from '../http/rate-limit.ts'
import type { Settings } from '../options.ts'
import type { Accounts } from './accounts.ts'
import { type Ec2Credential, parseEc2Header, verifyEc2 } from './ec2-auth.ts'
import type { Tokens } from './tokens.ts'

const KEY_PATHS = new Set(['/janus/public-key', '/janus/v2/public-key'])
const OPEN_PATHS = new Set([...KEY_PATHS, '/janus/authenticate', '/janus/v2/authenticate'])

/**
 * Every call but the login itself: `Authorization: Token <id>`, or AWS4-HMAC-SHA256 with an access key. A signature covers the body, so it is
 * checked once that is read. Calls are counted per address before anybody is known.
 */
export function addGuard(app: App, deps: { readonly settings: Settings; readonly accounts: Accounts; readonly tokens: Tokens }): void {
  const { get, other, publicKey } = deps.settings.rateLimits
  const limits = { get: new RateLimit(get), other: new RateLimit(other), publicKey: new RateLimit(publicKey) }
  const signed = new WeakMap<object, { readonly credential: Ec2Credential; readonly secretKey: string }>()

  app.addHook('onRequest', async request => {
    const path = pathOf(request.url)
    if (path.startsWith('/varve-test/')) return
    const now = Date.now()
    if (KEY_PATHS.has(path)) {
      if (limits.publicKey.take(request.ip, now) > 0) throw new HciError('KEY_CALLS_LIMITED', 'too many public-key calls, wait one minute')
      return
    }
    const wait = (request.method === 'GET' ? limits.get : limits.other).take(request.ip, now)
    if (wait > 0) throw new HciError('THROTTLED', `too many calls, wait ${wait} s`, { retryAfter: wait })
    if (OPEN_PATHS.has(path)) return

    const { authorization } = request.headers
    if (authorization === undefined) throw new HciError('AUTH_REQUIRED', 'the call needs an Authorization header')
    if (authorization.startsWith('AWS4-HMAC-SHA256')) {
      const credential = parseEc2Header(authorization)
      const secretKey = deps.accounts.secretKey(credential.accessKey)
      if (secretKey === undefined) throw new HciError('AUTH_FAILED', 'the signature does not match')
      signed.set(request, { credential, secretKey })
      request.user = credential.accessKey
      return
    }
    const token = /^Token\s+([0-9a-zA-Z._-]{1,200})$/.exec(authorization)?.[1]
    if (token === undefined) throw new HciError('AUTH_REQUIRED', 'the Authorization header is neither a token nor a signature')
    request.user = deps.tokens.check(token, now)
  })

  app.addHook('preValidation', async request => {
    const signature = signed.get(request)
    if (signature === undefined) return
    const { method, headers, rawBody } = request
    verifyEc2(signature.credential, signature.secretKey, { method, path: pathOf(request.url), headers, body: rawBody }, Date.now())
  })
}
