import { fileURLToPath } from 'node:url'
import { RepositoryError } from './errors.ts'
import type { Store } from './store.ts'
import { DirectoryStore } from './stores/directory-store.ts'
import { MemoryStore } from './stores/memory-store.ts'

export const REQUEST_TIMEOUT_MS = 120_000

/** What the URL of a store does not say; nearly all of it is about S3. */
export interface StoreSettings {
  /** `https://host:port`; default AWS in `region`. */
  readonly endpoint?: string
  /** Default `us-east-1`. */
  readonly region?: string
  readonly accessKey?: string
  readonly secretKey?: string
  /** `https://host/bucket/key` instead of `https://bucket.host/key`. Default: true when an endpoint is given. */
  readonly pathStyle?: boolean
  /** Create the bucket when it is missing. Default false. */
  readonly createBucket?: boolean
  /** Milliseconds one request may take, bodies included. Default 120,000. */
  readonly requestTimeout?: number
  /** Connections to the store, and so requests at the same time. Default 32. */
  readonly connections?: number
  /** Tries of one request, the first included. Default 5. */
  readonly attempts?: number
  /** Milliseconds before the second try; doubled for each further one. Default 200. */
  readonly backoff?: number
}

/**
 * Open the place that a repository lives in: `file:///directory`, `s3://bucket/prefix`, or `memory:` (for tests).
 *
 * @throws RepositoryError STORE_URL_INVALID, or what the store answers (STORE_DENIED, STORE_UNAVAILABLE, ...)
 */
export async function openStore(url: string, settings: StoreSettings = {}): Promise<Store> {
  if (url === 'memory:') return new MemoryStore()
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 's3:') return openS3(parsed, settings)
  const path = parsed?.protocol === 'file:' ? directoryOf(parsed) : undefined
  if (path !== undefined) return DirectoryStore.open(path, settings.requestTimeout ?? REQUEST_TIMEOUT_MS)
  // Not the URL itself: it may have secrets in it.
  const what = parsed?.protocol ?? 'no URL'
  throw new RepositoryError('STORE_URL_INVALID', `a repository URL is file:///directory or s3://bucket/prefix; this is ${what}`)
}

/** The libraries behind S3 take half a second of processor time to load, in each worker thread anew: only who needs them waits for them. */
async function openS3(url: URL, settings: StoreSettings): Promise<Store> {
  const { S3Store } = await import('./stores/s3/s3-store.ts')
  return S3Store.open(url, settings)
}

function directoryOf(url: URL): string | undefined {
  try {
    return fileURLToPath(url).replace(/(?<=.)\/+$/, '')
  } catch {
    // Another host, or an encoded slash.
    return undefined
  }
}
