import { randomUUID } from 'node:crypto'
import type { PlatformConnection } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { openEnvelope } from './envelope.ts'
import type { ScpOptions } from './options.ts'
import { Patience } from './patience.ts'
import { type Asked, refusal } from './refusal.ts'
import { openSession, type Session } from './session.ts'
import { Transport, type WireAnswer } from './transport.ts'

export interface ScpRequest extends Asked {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Encoded, without the query. Build ids in with `segment`. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | bigint>>
  readonly body?: Readonly<Record<string, unknown>>
  /** Of POST and PUT; a fresh one is made where none is given. */
  readonly clientToken?: string
  readonly signal?: AbortSignal | undefined
}

/**
 * Calls to SCP: authorised, retried where that is safe, taken out of the envelope. Every call here may be sent twice: reads by nature,
 * deletes because what is gone stays gone, POST and PUT because they carry an `X-Client-Token` under which the platform answers a
 * repetition with the first answer (valid 15 minutes).
 */
export class ScpClient {
  readonly #transport: Transport
  readonly #session: Session
  readonly #options: ScpOptions

  constructor(connection: PlatformConnection, options: ScpOptions) {
    this.#options = options
    this.#transport = new Transport(connection.url, options)
    this.#session = openSession(connection, this.#transport, options)
  }

  /** The `data` of the answer. @throws PlatformError, or the reason of an aborted signal. */
  async call(request: ScpRequest): Promise<unknown> {
    const { method, what, signal } = request
    const body = request.body === undefined ? '' : JSON.stringify(request.body)
    const token: Record<string, string> =
      method === 'POST' || method === 'PUT' ? { 'x-client-token': request.clientToken ?? randomUUID() } : {}
    const path = request.path + queryText(request.query)
    const patience = new Patience(what, this.#options, signal)
    let renewed = false
    for (;;) {
      const authorisation = await this.#session.authorise(method, this.#transport.basePath + request.path, body, signal)
      let answer: WireAnswer
      try {
        answer = await this.#transport.send({ method, path, headers: { ...token, ...authorisation }, body }, signal)
      } catch (error) {
        await patience.afterFailure(error)
        continue
      }
      if (answer.status === 401 && !renewed && this.#session.renew(authorisation)) {
        renewed = true
        continue
      }
      if (answer.status === 429) {
        await patience.afterThrottle(answer.retryAfter)
        continue
      }
      const opened = openEnvelope(answer.status, answer.body)
      if (opened.ok) return opened.data
      await patience.afterFailure(refusal(request, opened))
    }
  }

  async close(): Promise<void> {
    await this.#transport.close()
  }
}

/** Ids of the platform are UUIDs and short names. Anything else can't name a thing, and might climb out of the path. */
export function segment(id: string, missing: 'VM_NOT_FOUND' | 'SNAPSHOT_NOT_FOUND' | 'LEASE_LOST' | 'TASK_FAILED'): string {
  if (!/^[\w.:-]{1,200}$/.test(id) || /^\.+$/.test(id)) throw new PlatformError(missing, 'not an id of the platform')
  return encodeURIComponent(id)
}

function queryText(query: ScpRequest['query']): string {
  if (query === undefined) return ''
  return `?${Object.entries(query)
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`)
    .join('&')}`
}
