import { hash } from 'node:crypto'
import { type Dispatcher, Pool } from 'undici'
import { RepositoryError } from '../../errors.ts'
import { type ByteRange, MAX_OBJECT_LENGTH } from '../../store.ts'
import { withRetries } from '../retry.ts'
import type { S3Counters } from './s3-counters.ts'
import { connectionError, parseErrorDocument, s3Error } from './s3-errors.ts'
import { objectOrigin, objectPath, type S3Target } from './s3-target.ts'
import { EMPTY_HASH, signRequest } from './sigv4.ts'

/** Of an error answer so much is read. */
const MAX_ERROR_LENGTH = 16 * 1024
const CONNECT_TIMEOUT_MS = 10_000

interface ObjectRequest {
  readonly method: 'GET' | 'PUT'
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  readonly payloadHash: string
  readonly body: Uint8Array | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * The data path of an S3 store: PUT and GET of objects through a pool of kept connections, signed with the SHA-256 of the body, so
 * that the store refuses what was damaged on the way.
 */
export class S3Objects {
  readonly #target: S3Target
  readonly #counters: S3Counters
  readonly #pool: Pool
  readonly #host: string

  constructor(target: S3Target, counters: S3Counters) {
    const origin = objectOrigin(target)
    this.#target = target
    this.#counters = counters
    this.#host = origin.host
    this.#pool = new Pool(origin.origin, {
      connections: target.connections,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: target.requestTimeout,
      bodyTimeout: target.requestTimeout,
    })
  }

  async put(key: string, body: Uint8Array, sha256: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    const payloadHash = sha256 ?? hash('sha256', body, 'hex')
    await this.#request({ method: 'PUT', key, headers: {}, payloadHash, body, signal }, async response => {
      await response.body.dump()
      this.#counters.bytesOut += body.length
    })
  }

  get(key: string, range: ByteRange | undefined, maxLength: number | undefined, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const headers: Record<string, string> = {}
    if (range !== undefined) headers.range = `bytes=${range.offset}-${range.offset + range.length - 1}`
    return this.#request({ method: 'GET', key, headers, payloadHash: EMPTY_HASH, body: undefined, signal }, async response => {
      const length = expectedLength(key, response, range, maxLength ?? MAX_OBJECT_LENGTH)
      const bytes = await readExactly(key, response.body, length)
      this.#counters.bytesIn += length
      return bytes
    })
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }

  /** Send with retries; `read` gets a good answer and must use its body up. */
  #request<T>(request: ObjectRequest, read: (response: Dispatcher.ResponseData) => Promise<T>): Promise<T> {
    const { attempts, backoff, requestTimeout } = this.#target
    const { key, method, signal } = request
    const doing = `${method} ${key}`
    const onRetry = (): void => {
      this.#counters.retries += 1
    }
    return withRetries({ attempts, backoff, signal, onRetry }, async () => {
      const timeout = AbortSignal.timeout(requestTimeout)
      let response: Dispatcher.ResponseData | undefined
      try {
        response = await this.#send(request, signal === undefined ? timeout : AbortSignal.any([signal, timeout]))
        if (response.statusCode === 200 || response.statusCode === 206) return await read(response)
        throw await answerError(doing, key, response)
      } catch (error) {
        // What was not read of the answer is of no use; its connection neither.
        response?.body.on('error', () => {}).destroy()
        signal?.throwIfAborted()
        if (timeout.aborted) throw connectionError(doing, new Error(`no answer in ${requestTimeout} ms`), { key })
        throw connectionError(doing, error, { key })
      }
    })
  }

  #send({ method, key, headers, payloadHash, body }: ObjectRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { credentials, region } = this.#target
    const path = objectPath(this.#target, key)
    const toSign = { method, path, query: '', headers: { host: this.#host, ...headers }, payloadHash }
    const signed = signRequest(toSign, credentials, { region, service: 's3', time: new Date() })
    this.#counters[method === 'PUT' ? 'puts' : 'gets'] += 1
    return this.#pool.request({ method, path, headers: signed, body: body ?? null, signal })
  }
}

/** How many bytes a GET answer has to have. */
function expectedLength(key: string, response: Dispatcher.ResponseData, range: ByteRange | undefined, maxLength: number): number {
  const length = Number(response.headers['content-length'] ?? Number.NaN)
  if (!Number.isSafeInteger(length)) throw new RepositoryError('STORE_UNAVAILABLE', `GET ${key}: the answer has no length`, { key })
  if (range === undefined) {
    if (response.statusCode !== 200) throw new RepositoryError('STORE_TRUNCATED', `GET ${key}: a part came instead of the whole`, { key })
    if (length > maxLength) throw new RepositoryError('OBJECT_TOO_LARGE', `${key} has ${length} bytes`, { key, length })
    return length
  }
  if (response.statusCode !== 206) throw new RepositoryError('STORE_UNAVAILABLE', `GET ${key}: the store ignored the range`, { key })
  // A range that begins in the object and ends past it is answered with what there is.
  const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(String(response.headers['content-range'] ?? '')) ?? []
  const whole = Number(first) === range.offset && Number(last) - Number(first) + 1 === length
  if (whole && length < range.length)
    throw new RepositoryError('RANGE_INVALID', `${key} ends before the range asked for`, { key, ...range })
  if (!whole || length !== range.length)
    throw new RepositoryError('STORE_TRUNCATED', `GET ${key}: another range came than was asked for`, { key })
  return length
}

async function readExactly(key: string, body: AsyncIterable<Uint8Array>, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let done = 0
  try {
    for await (const chunk of body) {
      if (done + chunk.length > length) throw new RepositoryError('STORE_TRUNCATED', `GET ${key}: more bytes came than announced`, { key })
      bytes.set(chunk, done)
      done += chunk.length
    }
  } catch (cause) {
    if (cause instanceof RepositoryError || (cause as Error).name === 'AbortError' || (cause as Error).name === 'TimeoutError') throw cause
    throw new RepositoryError('STORE_TRUNCATED', `GET ${key}: the connection ended after ${done} of ${length} bytes`, { key }, { cause })
  }
  if (done < length) throw new RepositoryError('STORE_TRUNCATED', `GET ${key}: ${done} of ${length} bytes came`, { key })
  return bytes
}

async function answerError(doing: string, key: string, response: Dispatcher.ResponseData): Promise<RepositoryError> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    parts.push(chunk)
    length += chunk.length
    if (length > MAX_ERROR_LENGTH) break
  }
  const document = parseErrorDocument(Buffer.concat(parts).toString('utf8'))
  const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN)
  const failure = { status: response.statusCode, ...document, ...(retryAfter >= 0 ? { retryAfterMs: retryAfter * 1000 } : {}) }
  return s3Error(doing, failure, { key })
}
