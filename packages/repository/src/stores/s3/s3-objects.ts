import { hash } from 'node:crypto'
import { hasCode } from '@varve/errors'
import { type Dispatcher, Pool } from 'undici'
import { RepositoryError } from '../../errors.ts'
import { type ByteRange, type GetOptions, MAX_OBJECT_LENGTH, type PutOptions } from '../../store.ts'
import { withRetries } from '../retry.ts'
import { type ChecksCrc, CRC32_HEADER, crc32Of, isRefusalOfForm } from './payload-crc.ts'
import { type Answer, type AnswerHead, isGood, receiveAnswer } from './receive-answer.ts'
import type { S3Counters } from './s3-counters.ts'
import { connectionError, parseErrorDocument, s3Error } from './s3-errors.ts'
import { bucketPath, objectOrigin, objectPath, type S3Target } from './s3-target.ts'
import { EMPTY_HASH, signRequest, UNSIGNED_PAYLOAD } from './sigv4.ts'
import type { StoreClock } from './store-clock.ts'

const CONNECT_TIMEOUT_MS = 10_000

const COUNTED = { GET: 'gets', HEAD: 'heads', PUT: 'puts' } as const

interface ObjectRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT'
  /** Empty: the bucket itself. */
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  readonly payloadHash: string
  readonly body: Uint8Array | null
  readonly signal: AbortSignal | undefined
}

/**
 * The data path of an S3 store: PUT and GET of objects through a pool of kept connections, signed with the SHA-256 of the body, or with its CRC-32 in a
 * signed header where readers check the bytes anyway and the store is known to check it: either way the store refuses what was damaged on the way.
 */
export class S3Objects {
  readonly #target: S3Target
  readonly #counters: S3Counters
  readonly #pool: Pool
  readonly #host: string
  readonly #clock: StoreClock
  #checksCrc: ChecksCrc = 'unknown'

  constructor(target: S3Target, counters: S3Counters, clock: StoreClock) {
    const origin = objectOrigin(target)
    this.#target = target
    this.#counters = counters
    this.#clock = clock
    this.#host = origin.host
    this.#pool = new Pool(origin.origin, {
      connections: target.connections,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: target.requestTimeout,
      bodyTimeout: target.requestTimeout,
    })
  }

  async put(key: string, body: Uint8Array, { sha256, guarded = false, signal }: PutOptions): Promise<void> {
    const signed = (): string => sha256 ?? hash('sha256', body, 'hex')
    if (!guarded || sha256 !== undefined || this.#checksCrc === 'no') {
      await this.#put({ key, headers: {}, payloadHash: signed(), body, signal })
      return
    }
    const crc = crc32Of(body)
    const payloadHash = this.#checksCrc === 'yes' ? UNSIGNED_PAYLOAD : signed()
    try {
      const { headers } = await this.#put({ key, headers: { [CRC32_HEADER]: crc }, payloadHash, body, signal })
      if (this.#checksCrc === 'unknown') this.#checksCrc = headers[CRC32_HEADER] === crc ? 'yes' : 'no'
    } catch (error) {
      if (!isRefusalOfForm(error)) throw error
      await this.#put({ key, headers: {}, payloadHash: signed(), body, signal })
      this.#checksCrc = 'no'
    }
  }

  /** @param into is filled and answered (a view of it), when all fits; else a new buffer is */
  async get(key: string, range: ByteRange | undefined, { into, maxLength = MAX_OBJECT_LENGTH, signal }: GetOptions): Promise<Uint8Array> {
    const headers: Record<string, string> = {}
    if (range !== undefined) headers.range = `bytes=${range.offset}-${range.offset + range.length - 1}`
    const request: ObjectRequest = { method: 'GET', key, headers, payloadHash: EMPTY_HASH, body: null, signal }
    const bytesFor = (head: AnswerHead): Uint8Array => {
      const length = expectedLength(key, head, range, maxLength)
      return into !== undefined && length <= into.length ? into.subarray(0, length) : Buffer.allocUnsafeSlow(length)
    }
    const { bytes } = await this.#request(request, bytesFor)
    this.#counters.bytesIn += bytes.length
    return bytes
  }

  async bucketExists(): Promise<boolean> {
    try {
      const request: ObjectRequest = { method: 'HEAD', key: '', headers: {}, payloadHash: EMPTY_HASH, body: null, signal: undefined }
      await this.#request(request, undefined)
      return true
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return false
      throw error
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }

  async #put(request: Omit<ObjectRequest, 'method'> & { readonly body: Uint8Array }): Promise<AnswerHead> {
    // Nobody needs the body of a good answer.
    const { head } = await this.#request({ method: 'PUT', ...request }, undefined)
    this.#counters.bytesOut += request.body.length
    return head
  }

  /** Send with retries. `bytesFor` says where the body of a good answer goes; without it, it is passed over. */
  #request(request: ObjectRequest, bytesFor: ((head: AnswerHead) => Uint8Array) | undefined): Promise<Answer> {
    const { attempts, backoff, requestTimeout } = this.#target
    const { key, method, signal } = request
    const doing = key === '' ? `looking for bucket ${this.#target.bucket}` : `${method} ${key}`
    const onRetry = (): void => {
      this.#counters.retries += 1
    }
    return withRetries({ attempts, backoff, signal, onRetry }, async () => {
      const timeout = AbortSignal.timeout(requestTimeout)
      const signedAt = this.#clock.now()
      try {
        const limited = signal === undefined ? timeout : AbortSignal.any([signal, timeout])
        const answer = await receiveAnswer(this.#pool, this.#signed(request, signedAt), { doing, key, bytesFor, signal: limited })
        if (!isGood(answer.head)) throw this.#refusal(doing, key, answer, signedAt)
        return answer
      } catch (error) {
        signal?.throwIfAborted()
        if (timeout.aborted) throw connectionError(doing, new Error(`no answer in ${requestTimeout} ms`), { key })
        throw connectionError(doing, error, { key })
      }
    })
  }

  #refusal(doing: string, key: string, answer: Answer, signedAt: Date): RepositoryError {
    const error = answerError(doing, key, answer)
    if (answer.head.status !== 403 || !this.#clock.learn(answer.head.headers.date, signedAt)) return error
    return new RepositoryError('STORE_UNAVAILABLE', `${error.message}; from now on by the clock of the store`, error.context)
  }

  #signed({ method, key, headers, payloadHash, body }: ObjectRequest, time: Date): Dispatcher.DispatchOptions {
    const { credentials, region } = this.#target
    const path = key === '' ? bucketPath(this.#target) : objectPath(this.#target, key)
    const toSign = { method, path, query: '', headers: { host: this.#host, ...headers }, payloadHash }
    const signed = signRequest(toSign, credentials, { region, service: 's3', time })
    this.#counters[COUNTED[method]] += 1
    return { method, path, headers: signed, body }
  }
}

/** How many bytes a GET answer has to have. */
function expectedLength(key: string, response: AnswerHead, range: ByteRange | undefined, maxLength: number): number {
  const length = Number(response.headers['content-length'] ?? Number.NaN)
  if (!Number.isSafeInteger(length)) throw new RepositoryError('STORE_UNAVAILABLE', `GET ${key}: the answer has no length`, { key })
  if (range === undefined) {
    if (response.status !== 200) throw new RepositoryError('STORE_TRUNCATED', `GET ${key}: a part came instead of the whole`, { key })
    if (length > maxLength) throw new RepositoryError('OBJECT_TOO_LARGE', `${key} has ${length} bytes`, { key, length })
    return length
  }
  if (response.status !== 206) throw new RepositoryError('STORE_UNAVAILABLE', `GET ${key}: the store ignored the range`, { key })
  // A range that begins in the object and ends past it is answered with what there is.
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(String(response.headers['content-range'] ?? '')) ?? []
  const whole = Number(first) === range.offset && Number(last) - Number(first) + 1 === length
  // One that stops before the object does was cut on its way.
  const atEnd = total === undefined || Number(last) + 1 >= Number(total) || total === '*'
  if (whole && length < range.length && atEnd)
    throw new RepositoryError('RANGE_INVALID', `${key} ends before the range asked for`, { key, ...range })
  if (!whole || length !== range.length)
    throw new RepositoryError('STORE_TRUNCATED', `GET ${key}: another range came than was asked for`, { key })
  return length
}

function answerError(doing: string, key: string, { head, bytes }: Answer): RepositoryError {
  const document = parseErrorDocument(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'))
  const retryAfter = Number(head.headers['retry-after'] ?? Number.NaN)
  const failure = { status: head.status, ...document, ...(retryAfter >= 0 ? { retryAfterMs: retryAfter * 1000 } : {}) }
  return s3Error(doing, failure, { key })
}
