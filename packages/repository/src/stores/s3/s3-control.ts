import http from 'node:http'
import https from 'node:https'
import { hasCode } from '@varve/errors'
import { abortable } from '@varve/runtime/abortable'
import { Client } from 'minio'
import { RepositoryError } from '../../errors.ts'
import type { StoredObject, UnfinishedWrite } from '../../store.ts'
import { withRetries } from '../retry.ts'
import type { S3Counters } from './s3-counters.ts'
import { connectionError, s3Error } from './s3-errors.ts'
import type { S3Target } from './s3-target.ts'
import { signAgain } from './sign-again.ts'
import type { StoreClock } from './store-clock.ts'

const DELETE_BATCH = 1000
const LIST_PAGE = 1000

/** The control path of an S3 store: its bucket, listings and deletion, off the hot path. Through minio-js. */
export class S3Control {
  readonly #target: S3Target
  readonly #counters: S3Counters
  readonly #client: Client
  readonly #agent: http.Agent
  readonly #clock: StoreClock

  constructor(target: S3Target, counters: S3Counters, clock: StoreClock) {
    this.#target = target
    this.#counters = counters
    this.#clock = clock
    const { endpoint, credentials, region, pathStyle, requestTimeout } = target
    const tls = endpoint.protocol === 'https:'
    const options = { keepAlive: true, maxSockets: 8 }
    this.#agent = tls ? new https.Agent(options) : new http.Agent(options)
    this.#client = new Client({
      endPoint: endpoint.hostname,
      ...(endpoint.port === '' ? {} : { port: Number(endpoint.port) }),
      useSSL: tls,
      ...credentials,
      // Without it each bucket costs a request for its location.
      region,
      pathStyle,
      // Its own retries drop the S3 error code and write to the console.
      retryOptions: { disableRetry: true },
      transportAgent: this.#agent,
      // It has no time limit of its own: a server that accepts and stays silent would hang it for ever.
      transport: {
        request: timedRequest(signedBy(clock, target, tls ? https.request : http.request), requestTimeout) as typeof http.request,
      },
    })
  }

  makeBucket(signal?: AbortSignal): Promise<void> {
    const { bucket, region } = this.#target
    return this.#call('puts', `making bucket ${bucket}`, signal, () => this.#client.makeBucket(bucket, region))
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const { bucket, prefix: root } = this.#target
    let token = ''
    do {
      const page = await this.#call('lists', `listing ${prefix}`, signal, () =>
        this.#client.listObjectsV2Query(bucket, root + prefix, token, '', LIST_PAGE, ''),
      )
      for (const item of page.objects) {
        const name = String(item.name ?? '')
        if (name.startsWith(root)) yield { key: name.slice(root.length), size: Number(item.size), putAt: Number(item.lastModified) }
      }
      token = page.isTruncated ? String(page.nextContinuationToken) : ''
    } while (token !== '')
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < keys.length; at += DELETE_BATCH) {
      const names = keys.slice(at, at + DELETE_BATCH).map(key => this.#target.prefix + key)
      await this.#call('deletes', `deleting ${names.length} objects`, signal, async () => {
        const answers = await this.#client.removeObjects(this.#target.bucket, names)
        for (const answer of answers) {
          const { Code: s3Code = '', Message: message = '', Key: key } = answer?.Error ?? {}
          if (s3Code !== '' && s3Code !== 'NoSuchKey') throw s3Error(`deleting ${key}`, { status: 0, s3Code, message })
        }
      })
    }
  }

  /**
   * Multipart uploads under the prefix that were begun and neither ended nor aborted. Some servers (MinIO) list them only for the whole bucket or for
   * a whole key: where the prefix names none, the whole bucket is asked.
   */
  async *listUploads(signal?: AbortSignal): AsyncIterable<UnfinishedWrite> {
    const { prefix } = this.#target
    let found = false
    for await (const upload of this.#uploadsUnder(prefix, signal)) {
      found = true
      yield upload
    }
    if (!found && prefix !== '') yield* this.#uploadsUnder('', signal)
  }

  async *#uploadsUnder(asked: string, signal: AbortSignal | undefined): AsyncIterable<UnfinishedWrite> {
    const { bucket, prefix } = this.#target
    let [key, id] = ['', '']
    do {
      const page = await this.#call('lists', 'listing unfinished uploads', signal, () =>
        this.#client.listIncompleteUploadsQuery(bucket, asked, key, id, ''),
      )
      for (const upload of page.uploads) {
        if (!upload.key.startsWith(prefix)) continue
        yield { id: upload.uploadId, key: upload.key.slice(prefix.length), begunAt: new Date(upload.initiated).getTime() }
      }
      ;[key, id] = page.isTruncated ? [page.nextKeyMarker, page.nextUploadIdMarker] : ['', '']
    } while (key !== '')
  }

  async abortUpload({ key, id }: UnfinishedWrite, signal?: AbortSignal): Promise<void> {
    const { bucket, prefix } = this.#target
    try {
      await this.#call('deletes', `aborting an upload of ${key}`, signal, () => this.#client.abortMultipartUpload(bucket, prefix + key, id))
    } catch (error) {
      if (!(error instanceof RepositoryError && error.code === 'OBJECT_NOT_FOUND')) throw error
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #call<T>(counter: 'puts' | 'lists' | 'deletes', doing: string, signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
    const { attempts, backoff } = this.#target
    const onRetry = (): void => {
      this.#counters.retries += 1
    }
    return withRetries({ attempts, backoff, signal, onRetry }, async () => {
      this.#counters[counter] += 1
      const corrections = this.#clock.corrections
      try {
        // minio-js knows no AbortSignal: the request goes on to its time limit.
        return await abortable(call(), signal)
      } catch (error) {
        signal?.throwIfAborted()
        const failure = controlError(doing, error)
        // Refused for its time; by the clock of the store it may not be.
        if (hasCode(failure, 'STORE_DENIED') && this.#clock.corrections > corrections) throw connectionError(doing, error)
        throw failure
      }
    })
  }
}

type Request = (options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void) => http.ClientRequest

function signedBy(clock: StoreClock, target: S3Target, request: Request): Request {
  return (options, onResponse) => {
    const signedAt = clock.now()
    return request(clock.isCorrected ? signAgain(options, target, signedAt) : options, response => {
      if (response.statusCode === 403) clock.learn(response.headers.date, signedAt)
      onResponse(response)
    })
  }
}

function timedRequest(request: Request, ms: number): Request {
  return (options, onResponse) => {
    const sent = request(options, onResponse)
    const timer = setTimeout(() => sent.destroy(new Error(`no answer in ${ms} ms`)), ms)
    sent.on('close', () => clearTimeout(timer))
    return sent
  }
}

/** minio-js throws S3Error with `code` and status, plain Errors for retryable statuses, and what Node throws below. */
function controlError(doing: string, error: unknown): Error {
  const { name, code, statusCode, message } = error as { name?: string; code?: string; statusCode?: number; message?: string }
  const retryable = /Retryable HTTP status: (\d{3})/.exec(message ?? '')
  if (retryable !== null) return s3Error(doing, { status: Number(retryable[1]), s3Code: '' })
  if (name === 'S3Error') return s3Error(doing, { status: statusCode ?? statusOf(code), s3Code: code ?? '', message: message ?? '' })
  return connectionError(doing, error)
}

/** Answers to HEAD have no document; minio-js makes these codes of their status. */
function statusOf(code: string | undefined): number {
  return code === 'NotFound' ? 404 : code === 'AccessDenied' ? 403 : 400
}
