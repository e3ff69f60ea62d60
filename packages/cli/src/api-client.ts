import type { Items } from './api-types.ts'
import type { Access } from './config.ts'
import { CliError, RefusedError } from './errors.ts'
import { type ServerEvent, serverEvents } from './server-events.ts'

/** Larger answers than this do not come from Varve. */
const ANSWER_MAX = 64 * 1024 * 1024
/** Adding a platform waits for the platform, and reads its list of VMs. */
const ANSWER_MS = 90_000
/** The API sends a sign of life on event streams every 15 s: three missed ones mean that nobody is there. */
const SILENCE_MS = 50_000

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT'

/** The public API over HTTP. Every call throws CliError API_UNREACHABLE or API_ANSWER_INVALID, or RefusedError with what the API said. */
export class ApiClient {
  readonly #access: Access

  constructor(access: Access) {
    this.#access = access
  }

  get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path)
  }
  /** All items of a list, page by page; at most `most` of them. */
  async list<T>(path: string, most = Number.POSITIVE_INFINITY): Promise<T[]> {
    const all: T[] = []
    let after = ''
    for (;;) {
      const page: Items<T> = await this.get(`${path}${after}`)
      all.push(...page.items)
      if (all.length >= most || page.next === undefined || page.next === null) return all.slice(0, most)
      after = `${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(page.next)}`
    }
  }
  post<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
    return this.#call<T>('POST', path, body, headers)
  }
  patch<T>(path: string, body: unknown): Promise<T> {
    return this.#call<T>('PATCH', path, body)
  }
  put<T>(path: string, body: unknown): Promise<T> {
    return this.#call<T>('PUT', path, body)
  }
  delete(path: string): Promise<void> {
    return this.#call<void>('DELETE', path)
  }

  /** Events of a stream until it ends; what breaks it is thrown as from any other call, an abort as the signal's reason. */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const silence = new AbortController()
    const heard = (): NodeJS.Timeout => setTimeout(() => silence.abort(new Error('no sign of life')), SILENCE_MS)
    let timer = heard()
    try {
      const response = await this.#send('GET', path, undefined, {}, AbortSignal.any([signal, silence.signal]))
      if (response.status !== 200) throw refusal(response.status, await readText(response))
      for await (const event of serverEvents(
        bytesOf(response, () => {
          clearTimeout(timer)
          timer = heard()
        }),
      ))
        yield event
    } catch (cause) {
      if (signal.aborted) throw signal.reason
      throw cause instanceof CliError || cause instanceof RefusedError ? cause : this.#unreachable(cause)
    } finally {
      clearTimeout(timer)
    }
  }

  async #call<T>(method: Method, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const response = await this.#send(method, path, body, headers, AbortSignal.timeout(ANSWER_MS))
    const text = await readText(response).catch(cause => {
      throw cause instanceof CliError ? cause : this.#unreachable(cause)
    })
    if (!response.ok) throw refusal(response.status, text)
    if (response.status === 204) return undefined as T
    try {
      return JSON.parse(text) as T
    } catch (cause) {
      throw new CliError('API_ANSWER_INVALID', `${this.#access.apiUrl} answers something that is not JSON`, {}, { cause })
    }
  }

  async #send(method: Method, path: string, body: unknown, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    const given = { authorization: `Bearer ${this.#access.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    try {
      return await fetch(`${this.#access.apiUrl}${path}`, {
        method,
        signal,
        headers: { ...given, ...headers },
        // The token is for this address and not for where it may point to.
        redirect: 'error',
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (cause) {
      throw this.#unreachable(cause)
    }
  }

  #unreachable(cause: unknown): CliError {
    // fetch says "fetch failed" and has the reason inside.
    const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
    const why = inner instanceof Error ? inner.message || (inner as NodeJS.ErrnoException).code : String(inner)
    const text = `nothing answers at ${this.#access.apiUrl} (address from ${this.#access.from}): ${why}`
    return new CliError('API_UNREACHABLE', text, {}, { cause })
  }
}

async function* bytesOf(response: Response, heard: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of response.body ?? []) {
    heard()
    yield chunk
  }
}

function refusal(status: number, text: string): Error {
  try {
    const { code, message, retryable, help } = JSON.parse(text)
    if (typeof code === 'string' && typeof message === 'string') {
      return new RefusedError(status, { code, message, retryable: retryable === true, ...(typeof help === 'string' ? { help } : {}) })
    }
  } catch {
    // Not ours: told below.
  }
  return new CliError('API_ANSWER_INVALID', `the answer is HTTP ${status} and not of Varve`)
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > ANSWER_MAX) throw new CliError('API_ANSWER_INVALID', `the answer is longer than ${ANSWER_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length).toString('utf8')
}
