import { Pool } from 'undici'
import { PlatformError } from '../errors.ts'
import { SCP_DEFAULTS, type ScpOptions } from './options.ts'

export interface WireRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Encoded, with the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** JSON text; empty = no body. */
  readonly body: string
}

export interface WireAnswer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: string
}

/** One request over pooled connections: bounded in time and size, no retries, every failure typed. */
export class Transport {
  readonly #pool: Pool
  /** Path of the platform's URL, in front of every path; part of what is signed. */
  readonly basePath: string
  readonly #requestMs: number
  readonly #maxAnswerBytes: number
  readonly #slowMs: number
  readonly #onPressure: NonNullable<ScpOptions['onPressure']>

  /** @throws PlatformError PLATFORM_REFUSED when `url` is not an http or https URL. */
  constructor(url: string, options: ScpOptions) {
    const parsed = parseUrl(url)
    this.basePath = parsed.pathname.replace(/\/+$/, '')
    this.#requestMs = options.requestMs ?? SCP_DEFAULTS.requestMs
    this.#maxAnswerBytes = options.maxAnswerBytes ?? SCP_DEFAULTS.maxAnswerBytes
    this.#slowMs = options.slowMs ?? SCP_DEFAULTS.slowMs
    this.#onPressure = options.onPressure ?? (() => {})
    this.#pool = new Pool(parsed.origin, {
      connections: options.connections ?? SCP_DEFAULTS.connections,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: Math.min(this.#requestMs, 10_000), ...(options.ca === undefined ? {} : { ca: options.ca }) },
    })
  }

  /** @throws PlatformError PLATFORM_UNREACHABLE, PLATFORM_TLS_UNTRUSTED, PLATFORM_ANSWER_INVALID (too large); the reason of an aborted `signal`. */
  async send(request: WireRequest, signal: AbortSignal | undefined): Promise<WireAnswer> {
    signal?.throwIfAborted()
    const timeout = AbortSignal.timeout(this.#requestMs)
    // Told while it still lasts: others are then held back sooner.
    const slow = setTimeout(() => this.#onPressure('slow'), this.#slowMs)
    try {
      const { statusCode, headers, body } = await this.#pool.request({
        method: request.method,
        path: this.basePath + request.path,
        headers: { accept: 'application/json', ...(request.body === '' ? {} : { 'content-type': 'application/json' }), ...request.headers },
        body: request.body === '' ? null : request.body,
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      })
      const retryAfter = headers['retry-after']
      if (statusCode === 429 || (statusCode === 503 && retryAfter !== undefined)) this.#onPressure('throttled')
      return {
        status: statusCode,
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
        body: await readBounded(body, this.#maxAnswerBytes),
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (error instanceof PlatformError) throw error
      if (timeout.aborted)
        throw new PlatformError('PLATFORM_UNREACHABLE', `the platform did not answer within ${this.#requestMs} ms`, {}, { cause: error })
      throw connectionError(error)
    } finally {
      clearTimeout(slow)
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}

function parseUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) {
    throw new PlatformError('PLATFORM_REFUSED', "the platform's address must be an http or https URL")
  }
  return parsed
}

async function readBounded(body: AsyncIterable<Uint8Array> & { destroy(): unknown }, limit: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > limit) {
      body.destroy()
      throw new PlatformError('PLATFORM_ANSWER_INVALID', `an answer is larger than ${limit} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** OpenSSL's verdicts on certificates, as Node names them. */
const TLS_UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|ALTNAME/

function connectionError(error: unknown): PlatformError {
  const code = String((error as { code?: unknown }).code ?? '')
  const reason = error instanceof Error && error.message !== '' ? error.message : code || 'connection failed'
  if (TLS_UNTRUSTED.test(code)) {
    return new PlatformError(
      'PLATFORM_TLS_UNTRUSTED',
      `the platform's certificate is not trusted: ${reason} (${code})`,
      {},
      { cause: error },
    )
  }
  return new PlatformError(
    'PLATFORM_UNREACHABLE',
    `the platform can't be reached: ${reason.slice(0, 300)}`,
    { errno: code },
    { cause: error },
  )
}
