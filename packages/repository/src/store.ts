/** The bytes that one `get` asks for; the whole object without it. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

export interface GetOptions {
  readonly signal?: AbortSignal | undefined
  /** Refuse (OBJECT_TOO_LARGE) to read a whole object above it; 256 MiB unless given. */
  readonly maxLength?: number | undefined
  /**
   * Is filled and answered (a view of it) when it is long enough; a store may also answer other bytes. After a get that failed it may still be
   * written to: do not use it again.
   */
  readonly into?: Uint8Array | undefined
}

export interface PutOptions {
  readonly signal?: AbortSignal | undefined
  /** Of the bytes, hex, where the caller knows it. */
  readonly sha256?: string | undefined
  /**
   * Whoever reads these bytes checks them against hashes that stand elsewhere: a store may then send them with a checksum that finds damage on the way
   * but is no signature.
   */
  readonly guarded?: boolean | undefined
}

export interface StoredObject {
  readonly key: string
  readonly size: number
  /** When it was last put, by the clock of the store: milliseconds since 1970. */
  readonly putAt: number
}

/** A write that was begun and has not ended: its bytes take space, and no listing of objects shows them. */
export interface UnfinishedWrite {
  /** Names it together with the key. */
  readonly id: string
  /** As far as it is known: the key it was to have. */
  readonly key: string
  /** Milliseconds since 1970. */
  readonly begunAt: number
}

/** For who looks for what is left behind; others never ask. */
export interface UnfinishedWrites {
  /** Multipart uploads, or temporary files. */
  readonly kind: 'upload' | 'file'
  list(options?: { readonly signal?: AbortSignal }): AsyncIterable<UnfinishedWrite>
  /** One that is gone is fine. */
  drop(write: UnfinishedWrite, options?: { readonly signal?: AbortSignal }): Promise<void>
}

/**
 * Where a repository's objects live. Every implementation keeps these promises; the conformance suite in
 * `@varve/repository/testing` checks them.
 *
 * - Durable and read-after-write: once `put` resolves, the object survives a crash and `get` sees it whole.
 * - Atomic: an object is absent or whole, never partly there. Keys are used once; a `put` to an existing key replaces it.
 * - `get` returns exactly the bytes asked for, or throws: OBJECT_NOT_FOUND, RANGE_INVALID (past the end), STORE_TRUNCATED.
 * - `list` yields every key under the prefix with its size and time, in no promised order; it may be slow and is never on the hot path.
 * - `delete` of absent keys succeeds.
 * - Errors are RepositoryErrors: STORE_UNAVAILABLE and STORE_THROTTLED (retryable), STORE_FULL, STORE_READ_ONLY, STORE_DENIED.
 * - Nothing waits for ever: each call has a time limit of its own besides `signal`.
 */
export interface Store {
  /** For logs and messages, without secrets: `s3://bucket/prefix`, `file:///path`. */
  readonly url: string
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void>
  get(key: string, range?: ByteRange, options?: GetOptions): Promise<Uint8Array>
  list(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<StoredObject>
  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Absent: this store has no such thing. */
  readonly unfinished?: UnfinishedWrites
  close(): Promise<void>
}

/** What `get` without a range reads at most, unless told otherwise. Nothing that Varve writes is longer. */
export const MAX_OBJECT_LENGTH = 256 * 1024 * 1024
