import { Agent, request } from 'undici'
import type { Access } from './config.ts'
import { CliError, RefusedError } from './errors.ts'
import { type ServerEvent, serverEvents } from './server-events.ts'

/** Larger answers than this do not come from Varve. */
const ANSWER_MAX = 64 * 1024 * 1024

/** The public API over HTTP. Every call throws CliError API_UNREACHABLE or API_ANSWER_INVALID, or RefusedError with what the API said. */
export class ApiClient {
  readonly #access: Access
  readonly #agent = new Agent({ connect: { timeout: 5000 } })

  constructor(access: Access) {
    this.#access = access
  }

  get<T>(path: string): Promise<T> {
    return this.#call<T>('GET', path)
  }
  post<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
    return this.#call<T>('POST', path, body, headers)
  }
  delete(path: string): Promise<void> {
    return this.#call<void>('DELETE', path)
  }

  /** Events of a stream until it ends; what breaks it is thrown as from any other call. */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    // The API sends a sign of life every 15 s: three missed ones mean that nobody is there.
    const response = await this.#send('GET', path, undefined, { accept: 'text/event-stream' }, { bodyTimeout: 50_000, signal })
    if (response.statusCode !== 200) throw refusal(response.statusCode, await readText(response.body))
    try {
      yield* serverEvents(response.body)
    } catch (cause) {
      if (signal.aborted) throw signal.reason
      throw this.#unreachable(cause)
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  async #call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const response = await this.#send(method, path, body, headers, { bodyTimeout: 90_000 })
    const text = await readText(response.body).catch(cause => {
      throw this.#unreachable(cause)
    })
    if (response.statusCode >= 400) throw refusal(response.statusCode, text)
    if (response.statusCode === 204) return undefined as T
    try {
      return JSON.parse(text) as T
    } catch (cause) {
      throw new CliError('API_ANSWER_INVALID', `${this.#access.apiUrl} answers something that is not JSON`, {}, { cause })
    }
  }

  async #send(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body: unknown,
    headers: Record<string, string>,
    more: { bodyTimeout: number; signal?: AbortSignal },
  ) {
    try {
      return await request(`${this.#access.apiUrl}${path}`, {
        method,
        dispatcher: this.#agent,
        headersTimeout: 90_000,
        headers: {
          authorization: `Bearer ${this.#access.token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...more,
      })
    } catch (cause) {
      if (more.signal?.aborted) throw more.signal.reason
      throw this.#unreachable(cause)
    }
  }

  #unreachable(cause: unknown): CliError {
    const why = cause instanceof Error ? cause.message : String(cause)
    const text = `nothing answers at ${this.#access.apiUrl} (address from ${this.#access.from}): ${why}`
    return new CliError('API_UNREACHABLE', text, {}, { cause })
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

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > ANSWER_MAX) throw new CliError('API_ANSWER_INVALID', `the answer is longer than ${ANSWER_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length).toString('utf8')
}
