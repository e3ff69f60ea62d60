import { RepositoryError } from '../errors.ts'
import { checkKey } from '../keys.ts'
import { type ByteRange, type GetOptions, MAX_OBJECT_LENGTH, type Store, type StoredObject } from '../store.ts'

/** A store in memory, for tests. `objects` may be altered to play a damaged repository. */
export class MemoryStore implements Store {
  readonly url = 'memory:'
  readonly objects = new Map<string, Uint8Array>()
  readonly #putAt = new Map<string, number>()

  async put(key: string, bytes: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted()
    this.objects.set(checkKey(key), Uint8Array.from(bytes))
    this.#putAt.set(key, Date.now())
  }

  async get(key: string, range?: ByteRange, options: GetOptions = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    const bytes = this.objects.get(checkKey(key))
    if (bytes === undefined) throw new RepositoryError('OBJECT_NOT_FOUND', `${key} is not in the store`, { key })
    if (range === undefined) {
      if (bytes.length > (options.maxLength ?? MAX_OBJECT_LENGTH))
        throw new RepositoryError('OBJECT_TOO_LARGE', `${key} is too large`, { key })
      return bytes.slice()
    }
    if (range.offset + range.length > bytes.length)
      throw new RepositoryError('RANGE_INVALID', `${key} ends before the range asked for`, { key })
    const wanted = bytes.subarray(range.offset, range.offset + range.length)
    if (options.into === undefined || wanted.length > options.into.length) return wanted.slice()
    options.into.set(wanted)
    return options.into.subarray(0, wanted.length)
  }

  async *list(prefix: string, options: { readonly signal?: AbortSignal } = {}): AsyncIterable<StoredObject> {
    for (const [key, bytes] of [...this.objects]) {
      options.signal?.throwIfAborted()
      if (key.startsWith(prefix)) yield { key, size: bytes.length, putAt: this.#putAt.get(key) ?? 0 }
    }
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted()
    for (const key of keys) this.objects.delete(checkKey(key))
  }

  async close(): Promise<void> {}
}
