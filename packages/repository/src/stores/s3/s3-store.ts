import { RepositoryError } from '../../errors.ts'
import { checkKey } from '../../keys.ts'
import type { StoreSettings } from '../../open-store.ts'
import type { ByteRange, GetOptions, PutOptions, Store, StoredObject, UnfinishedWrite, UnfinishedWrites } from '../../store.ts'
import type { S3Control } from './s3-control.ts'
import { newS3Counters, type S3Counters } from './s3-counters.ts'
import { S3Objects } from './s3-objects.ts'
import { type S3Target, s3Target } from './s3-target.ts'
import { StoreClock } from './store-clock.ts'

/** A store in an S3 bucket. One signed request per `put` and `get`, no others; failures are tried again with growing pauses. */
export class S3Store implements Store {
  readonly url: string
  /** Live. */
  readonly counters: Readonly<S3Counters>
  readonly #objects: S3Objects
  readonly #openControl: () => Promise<S3Control>
  #control: Promise<S3Control> | undefined

  private constructor(target: S3Target) {
    const counters = newS3Counters()
    this.url = `s3://${target.bucket}/${target.prefix}`.replace(/\/$/, '')
    this.counters = counters
    const clock = new StoreClock()
    this.#objects = new S3Objects(target, counters, clock)
    // Its library takes a quarter of a second of processor time to load, in each thread anew, and workers never need it.
    this.#openControl = async () => new (await import('./s3-control.ts')).S3Control(target, counters, clock)
  }

  get unfinished(): UnfinishedWrites {
    return {
      kind: 'upload',
      list: ({ signal } = {}) => this.#uploads(signal),
      drop: async (write, { signal } = {}) => (await this.#opened()).abortUpload(write, signal),
    }
  }

  /** Looks for the bucket, and makes it when `createBucket` says so. */
  static async open(url: URL, settings: StoreSettings): Promise<S3Store> {
    const target = s3Target(url, settings)
    const store = new S3Store(target)
    try {
      await store.#openBucket(target)
    } catch (error) {
      await store.close()
      throw error
    }
    return store
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    await this.#objects.put(checkKey(key), bytes, options)
  }

  async get(key: string, range?: ByteRange, options: GetOptions = {}): Promise<Uint8Array> {
    return this.#objects.get(checkKey(key), range, options)
  }

  async *list(prefix: string, options: { readonly signal?: AbortSignal } = {}): AsyncIterable<StoredObject> {
    yield* (await this.#opened()).list(prefix, options.signal)
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await (await this.#opened()).delete(keys.map(checkKey), options.signal)
  }

  async close(): Promise<void> {
    await this.#control?.then(
      control => control.close(),
      () => {},
    )
    await this.#objects.close()
  }

  async #openBucket({ bucket, createBucket }: S3Target): Promise<void> {
    try {
      if (await this.#objects.bucketExists()) return
    } catch (error) {
      // Credentials that may use objects but not look at the bucket are fine; wrong ones show at the first object.
      if (error instanceof RepositoryError && error.code === 'STORE_DENIED' && !createBucket) return
      throw error
    }
    if (!createBucket) throw new RepositoryError('STORE_URL_INVALID', `there is no bucket '${bucket}'`)
    try {
      await (await this.#opened()).makeBucket()
    } catch (error) {
      // Somebody else made it in the meantime.
      if (!(await this.#objects.bucketExists())) throw error
    }
  }

  async *#uploads(signal: AbortSignal | undefined): AsyncIterable<UnfinishedWrite> {
    yield* (await this.#opened()).listUploads(signal)
  }

  #opened(): Promise<S3Control> {
    this.#control ??= this.#openControl().catch(error => {
      this.#control = undefined
      throw error
    })
    return this.#control
  }
}
