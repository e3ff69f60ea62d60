/** What a request is, for choosing who is hit. */
export interface S3Subject {
  /** `LIST` for the listing of a bucket; else the HTTP method. */
  readonly operation: string
  /** Key in the bucket, prefix included; empty for calls on the bucket. */
  readonly key: string
}

/**
 * What goes wrong with one request.
 *
 * | kind | the client sees | the store |
 * |---|---|---|
 * | `status` | an error answer with an S3 code | is not asked |
 * | `reset-request` | its connection reset once `afterBytes` of the body were sent | has part of a request, keeps nothing |
 * | `reset-answer` | its connection reset after `afterBytes` of the answer's body | did what it was asked |
 * | `truncate` | `bytes` of the body and the end of the connection; `announced`: the length of the `whole`, or of what is `sent` | unharmed |
 * | `not-kept` | 200 to a PUT | never saw it |
 * | `flip-answer` | 200 or 206 with one bit wrong in the middle | unharmed |
 * | `other-object` | the bytes of the object `key` where they are long enough, in place of those it asked for | unharmed |
 * | `flip-stored` | 200 to a PUT | keeps the object with one bit wrong in the middle |
 * | `hang` | nothing, ever | is not asked |
 * | `slow` | its answer, `ms` later | did it `ms` later |
 * | `hide` | a listing without the keys that match, and nothing that says there is more | unharmed |
 */
export type S3Fault =
  | { readonly kind: 'status'; readonly status: number; readonly code: string; readonly retryAfter?: number }
  | { readonly kind: 'reset-request'; readonly afterBytes: number }
  | { readonly kind: 'reset-answer'; readonly afterBytes: number }
  | { readonly kind: 'truncate'; readonly bytes: number; readonly announced: 'whole' | 'sent' }
  | { readonly kind: 'not-kept' }
  | { readonly kind: 'flip-answer' }
  | { readonly kind: 'other-object'; readonly key: string }
  | { readonly kind: 'flip-stored' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'hide'; readonly keys: RegExp }

/** Whom a fault hits; every given field must fit. */
export interface S3FaultRule {
  readonly fault: S3Fault
  readonly operation?: string
  readonly key?: RegExp
  /** So many that fit go by unharmed first. */
  readonly after?: number
  /** How often at most; absent: until it is taken away. */
  readonly count?: number
  /** Chance of each that fits, 0 to 1, from the seed. */
  readonly probability?: number
}

/** The faults of one store, and how often each has hit. The same seed and the same requests give the same hits. */
export class S3Faults {
  readonly #rules = new Map<S3FaultRule, { fitted: number; hits: number; over: boolean }>()
  readonly #random: () => number

  constructor(seed = 1) {
    this.#random = seeded(seed)
  }

  add(rule: S3FaultRule): S3FaultRule {
    this.#rules.set(rule, { fitted: 0, hits: 0, over: false })
    return rule
  }

  /** It hits nobody any more; how often it has is still known. */
  end(rule: S3FaultRule): void {
    const seen = this.#rules.get(rule)
    if (seen !== undefined) seen.over = true
  }

  clear(): void {
    this.#rules.clear()
  }

  hits(rule: S3FaultRule): number {
    return this.#rules.get(rule)?.hits ?? 0
  }

  /** The fault for this request: of the oldest rule that fits and is due. */
  take(subject: S3Subject): S3Fault | undefined {
    for (const [rule, seen] of this.#rules) {
      if (seen.over) continue
      if (rule.operation !== undefined && rule.operation !== subject.operation) continue
      if (rule.key !== undefined && !rule.key.test(subject.key)) continue
      seen.fitted += 1
      if (seen.fitted <= (rule.after ?? 0) || seen.hits >= (rule.count ?? Number.POSITIVE_INFINITY)) continue
      if (rule.probability !== undefined && this.#random() >= rule.probability) continue
      seen.hits += 1
      return rule.fault
    }
    return undefined
  }
}

/** Path-style addresses only: `/bucket/key?query`. */
export function s3Subject(method: string, url: string): S3Subject {
  const { pathname, searchParams } = new URL(url, 'http://store')
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'))
  return { operation: method === 'GET' && key === '' && searchParams.has('list-type') ? 'LIST' : method, key }
}

/** A ListObjectsV2 answer without the keys that match; it says that it is all there is. */
export function hideKeys(listing: string, keys: RegExp): string {
  return listing
    .replaceAll(/<Contents>.*?<\/Contents>/gs, entry => (keys.test(/<Key>([^<]*)<\/Key>/.exec(entry)?.[1] ?? '') ? '' : entry))
    .replace(/<IsTruncated>true/, '<IsTruncated>false')
    .replace(/<NextContinuationToken>[^<]*<\/NextContinuationToken>/, '')
}

/** A copy with one bit of the middle byte wrong. */
export function flipBit(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  if (copy.length > 0) copy[copy.length >>> 1]! ^= 1
  return copy
}

/** Mulberry32: 32 bits of state are enough to pick requests. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
