import Type from 'typebox'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import type { Accounts } from './accounts.ts'
import type { LoginKey } from './rsa.ts'
import type { Tokens } from './tokens.ts'

const Credentials = Type.Object({
  auth: Type.Object({
    passwordCredentials: Type.Object({
      username: Type.String({ minLength: 1, maxLength: 200 }),
      /** The encrypted password, hex. */
      password: Type.String({ minLength: 1, maxLength: 2000 }),
    }),
  }),
})

/** Password login: `/janus/…` with PKCS#1 v1.5, `/janus/v2/…` with OAEP. */
export function addAuthRoutes(app: App, deps: { readonly accounts: Accounts; readonly tokens: Tokens; readonly key: LoginKey }): void {
  // Clients must strip the newline; a real SCP sends it, so we do.
  const publicKey = { public_key: `${deps.key.modulus}\n` }
  app.get('/janus/public-key', async () => publicKey)
  app.get('/janus/v2/public-key', async () => publicKey)

  const login = (username: string, decrypt: () => string) => {
    if (!deps.accounts.passwordMatches(username, decrypt())) throw new HciError('AUTH_FAILED', 'user name or password is wrong')
    const token = deps.tokens.issue(username, Date.now())
    return {
      access: { token: { id: token.id, expires: new Date(token.expires).toISOString() }, user: { name: username } },
    }
  }
  app.post('/janus/authenticate', { schema: { body: Credentials } }, async request => {
    const { username, password } = request.body.auth.passwordCredentials
    return login(username, () => deps.key.decryptPkcs1(password))
  })
  app.post('/janus/v2/authenticate', { schema: { body: Credentials } }, async request => {
    const { username, password } = request.body.auth.passwordCredentials
    return login(username, () => deps.key.decryptOaep(password))
  })
}
