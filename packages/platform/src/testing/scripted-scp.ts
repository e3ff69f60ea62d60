import { constants, generateKeyPairSync, privateDecrypt } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { PlatformConnection } from '../driver.ts'

export interface ScriptedRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: unknown
}

/** What a script answers: status and envelope, or it takes the response into its own hands and returns nothing. */
export type Script = (request: ScriptedRequest, response: ServerResponse) => ScriptedAnswer | undefined
export interface ScriptedAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** `data` of a success in the envelope of the path's generation. */
  readonly data?: unknown
  /** A whole body instead. */
  readonly raw?: string
}

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const MODULUS = Buffer.from(String(publicKey.export({ format: 'jwk' }).n), 'base64url').toString('hex')

export const USER = { username: 'backup', password: 'pässword 1' }

/**
 * An HTTP server that answers as the test says, for what no sound platform does on demand: refusals, hangs, nonsense. Logs in the user of
 * USER as SCP does, unless the script takes those calls over.
 */
export class ScriptedScp {
  readonly requests: ScriptedRequest[] = []
  readonly #script: Script
  readonly #server: ReturnType<typeof createServer>
  #tokens = new Set<string>()
  logins = 0

  private constructor(script: Script, tls: { readonly key: string; readonly cert: string } | undefined) {
    this.#script = script
    const handle = (request: IncomingMessage, response: ServerResponse): void => void this.#handle(request, response)
    this.#server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle)
  }

  static async start(script: Script, tls?: { readonly key: string; readonly cert: string }): Promise<ScriptedScp> {
    const scp = new ScriptedScp(script, tls)
    await new Promise<void>(resolve => scp.#server.listen(0, '127.0.0.1', resolve))
    return scp
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get connection(): PlatformConnection {
    return { id: 'p', kind: 'scp', url: `http://127.0.0.1:${this.port}`, credentials: USER }
  }

  expireTokens(): void {
    this.#tokens = new Set()
  }

  /** Requests other than logins. */
  get calls(): readonly ScriptedRequest[] {
    return this.requests.filter(({ path }) => !/public-key$|authenticate$/.test(path))
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async #handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of message) body += String(chunk)
    const url = new URL(message.url ?? '/', 'http://scp')
    const request: ScriptedRequest = {
      method: message.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: message.headers,
      body: body === '' ? undefined : JSON.parse(body),
    }
    this.requests.push(request)
    const answer = this.#script(request, response) ?? this.#login(request)
    if (response.writableEnded || response.headersSent || answer === undefined) return
    const generation = Number(/^\/janus\/(\d{8})/.exec(request.path)?.[1] ?? 0) >= 20240725 ? { errcode: '' } : { code: 0 }
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers })
    response.end(answer.raw ?? JSON.stringify({ ...generation, data: answer.data, message: '' }))
  }

  #login({ path, body, headers }: ScriptedRequest): ScriptedAnswer | undefined {
    if (path === '/janus/public-key' || path === '/janus/v2/public-key') return { data: { public_key: `${MODULUS}\n` } }
    if (path === '/janus/authenticate' || path === '/janus/v2/authenticate') {
      const { username, password } = (body as { auth: { passwordCredentials: typeof USER } }).auth.passwordCredentials
      const plain = decrypt(password, path.includes('v2'))
      if (username !== USER.username || plain !== USER.password) return refused(401, 'user name or password is wrong')
      this.logins += 1
      const token = `token-${this.logins}`
      this.#tokens.add(token)
      return { data: { access: { token: { id: token } } } }
    }
    return this.#tokens.has(String(headers.authorization).replace(/^Token /, '')) ? undefined : refused(401, 'log in again')
  }

  /** For scripts: is the request logged in? */
  knows({ headers }: ScriptedRequest): boolean {
    return this.#tokens.has(String(headers.authorization).replace(/^Token /, ''))
  }
}

/** A refusal in the older envelope. */
export function refused(status: number, message: string, error?: string): ScriptedAnswer {
  return { status, raw: JSON.stringify({ code: status, message, data: error === undefined ? null : { error } }) }
}

function decrypt(hex: string, oaep: boolean): string {
  const bytes = Buffer.from(hex, 'hex')
  if (oaep) return privateDecrypt({ key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, bytes).toString()
  // Node decrypts PKCS#1 v1.5 no more; the padding is 00 02 <no zeros> 00.
  const block = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, bytes)
  return block[0] === 0 && block[1] === 2 ? block.subarray(block.indexOf(0, 2) + 1).toString() : ''
}
