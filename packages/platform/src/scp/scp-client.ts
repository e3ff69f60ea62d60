import { randomUUID } from 'node:crypto'
import { type Logger, sleep } from '@varve/runtime'
import type { PlatformConnection } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { openEnvelope } from './envelope.ts'
import { RETRY_PAUSE_MAX_MS, SCP_DEFAULTS, type ScpOptions } from './options.ts'
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

/** Shortest and longest single pause because of a 429, ms. */
const THROTTLE_PAUSE_MIN_MS = 100
const THROTTLE_PAUSE_MAX_MS = 120_000

/**
 * Calls to SCP: authorised, retried where that is safe, taken out of the envelope. Every call here may be sent twice: reads by nature,
 * deletes because what is gone stays gone, POST and PUT because they carry an `X-Client-Token` under which the platform answers a
 * repetition with the first answer (valid 15 minutes).
 */
export class ScpClient {
  readonly #transport: Transport
  readonly #session: Session
  readonly #options: ScpOptions
  readonly #log: Logger | undefined

  constructor(connection: PlatformConnection, options: ScpOptions) {
    this.#options = options
    this.#log = options.log
    this.#transport = new Transport(connection.url, options)
    this.#session = openSession(connection, this.#transport, options)
  }

  /** The `data` of the answer. @throws PlatformError, or the reason of an aborted signal. */
  async call(request: ScpRequest): Promise<unknown> {
    const { method, signal } = request
    const body = request.body === undefined ? '' : JSON.stringify(request.body)
    const token = method === 'POST' || method === 'PUT' ? { 'x-client-token': request.clientToken ?? randomUUID() } : {}
    const path = request.path + queryText(request.query)
    const tries = this.#options.tries ?? SCP_DEFAULTS.tries
    let pause = this.#options.retryPauseMs ?? SCP_DEFAULTS.retryPauseMs
    let throttledMs = 0
    let renewed = false
    for (let failed = 0; ; ) {
      const authorisation = await this.#session.authorise(method, this.#transport.basePath + request.path, body, signal)
      const answer = await this.#send({ method, path, headers: { ...token, ...authorisation }, body }, signal)
      const retry = (): Promise<void> => sleep(pause * (0.75 + Math.random() / 2), signal)
      if (answer instanceof PlatformError) {
        failed += 1
        if (!answer.retryable || failed >= tries) throw answer
        this.#log?.debug({ err: answer, what: request.what, failed }, 'platform call failed, trying again')
        await retry()
        pause = Math.min(pause * 2, RETRY_PAUSE_MAX_MS)
        continue
      }
      if (answer.status === 401 && !renewed && this.#session.renew(authorisation)) {
        renewed = true
        continue
      }
      if (answer.status === 429) {
        const wait = Math.max(retryAfterMs(answer.retryAfter, Date.now()) ?? 1000, pause, THROTTLE_PAUSE_MIN_MS)
        throttledMs += wait
        if (throttledMs > (this.#options.throttleMs ?? SCP_DEFAULTS.throttleMs)) {
          throw new PlatformError('PLATFORM_THROTTLED', `${request.what}: the platform asks to wait longer than we do`, { throttledMs })
        }
        this.#log?.debug({ what: request.what, waitMs: wait }, 'platform asks to wait')
        await sleep(wait, signal)
        pause = Math.min(pause * 2, RETRY_PAUSE_MAX_MS)
        continue
      }
      const opened = openEnvelope(answer.status, answer.body)
      if (opened.ok) return opened.data
      const error = refusal(request, opened)
      if (error.code === 'PLATFORM_UNREACHABLE') {
        failed += 1
        if (failed < tries) {
          this.#log?.debug({ err: error, what: request.what, failed }, 'platform failed, trying again')
          await retry()
          pause = Math.min(pause * 2, RETRY_PAUSE_MAX_MS)
          continue
        }
      }
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#transport.close()
  }

  async #send(request: Parameters<Transport['send']>[0], signal: AbortSignal | undefined): Promise<WireAnswer | PlatformError> {
    try {
      return await this.#transport.send(request, signal)
    } catch (error) {
      if (error instanceof PlatformError) return error
      throw error
    }
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

/** `Retry-After`: seconds or an HTTP date. Undefined when absent or unreadable. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d{1,9}$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), THROTTLE_PAUSE_MAX_MS) : undefined
}
