import type { Items } from './api-types.ts'
import { readToken } from './session.ts'

/** What the API refused, or that it did not answer (`status` 0). */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly help: string | undefined

  constructor(status: number, code: string, message: string, help?: string) {
    super(message)
    this.status = status
    this.code = code
    this.help = help
  }
}

export async function send(method: 'GET' | 'POST', path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { authorization: `Bearer ${readToken() ?? ''}` }
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (method === 'POST') headers['idempotency-key'] = randomKey()
  let response: Response
  try {
    // Relative to the page, so that it also works below a path of a proxy.
    response = await fetch(`.${path}`, {
      method,
      headers,
      credentials: 'omit',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (cause) {
    if (signal?.aborted) throw cause
    throw new ApiError(0, 'API_UNREACHABLE', 'Varve does not answer.', 'It may be restarting; this page tries again by itself.')
  }
  if (!response.ok) throw await refusal(response)
  return response
}

export async function get<T>(path: string): Promise<T> {
  return (await send('GET', path)).json() as Promise<T>
}

/** All items of a list, page by page. */
export async function list<T>(path: string): Promise<readonly T[]> {
  const all: T[] = []
  for (let after = ''; ; ) {
    const page = await get<Items<T>>(`${path}${after}`)
    all.push(...page.items)
    if (page.next === undefined || page.next === null) return all
    after = `${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(page.next)}`
  }
}

export async function post<T>(path: string, body?: unknown): Promise<T> {
  return (await send('POST', path, body)).json() as Promise<T>
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const { code, message, help } = (await response.json()) as { code: string; message: string; help?: string }
    return new ApiError(response.status, code, message, help)
  } catch {
    return new ApiError(response.status, `HTTP_${response.status}`, `The answer was HTTP ${response.status}.`)
  }
}

/** `crypto.randomUUID` is there only on https and localhost. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
}
