import { randomUUID } from 'node:crypto'
import { DEFAULT_BLOCK_SIZE, isBlockSize } from '@varve/block-map'
import { COMPRESSIONS, type Compression } from './codec/codec.ts'
import { RepositoryError } from './errors.ts'
import { FORMAT_KEY } from './keys.ts'
import { openSealedJson, sealJson } from './sealed-json.ts'
import type { Store } from './store.ts'

const FORMAT = 'varve-repository'
const VERSION = 1
const MAX_LENGTH = 64 * 1024

/** What `varve.json` says; it never changes after creation. */
export interface RepositoryFormat {
  /** Format version of everything in the repository. */
  readonly version: number
  /** UUID. */
  readonly repositoryId: string
  readonly createdAt: string
  /** Bytes; for all images. */
  readonly blockSize: number
  readonly hash: 'sha256'
  /** For new blocks; each block says for itself how it is stored. */
  readonly compression: Compression
}

export interface OpenRepositoryOptions {
  /** Make a repository where there is none. Default false. */
  readonly create?: boolean
  /** Of a repository that is created. Default 256 KiB. */
  readonly blockSize?: number
  /** Of a repository that is created. Default `zstd`. */
  readonly compression?: Compression
  /** Of blocks that are written, where they are compressed with zstd: 1 (default) to 19. Readers need not know it. */
  readonly zstdLevel?: number | undefined
  readonly signal?: AbortSignal
}

/**
 * Read `varve.json`, or write it first. Two processes that create the same repository at the same time: both read back
 * what is there in the end.
 *
 * @throws RepositoryError REPOSITORY_NOT_FOUND, REPOSITORY_INVALID, REPOSITORY_VERSION_UNKNOWN
 */
export async function loadFormat(store: Store, options: OpenRepositoryOptions): Promise<RepositoryFormat> {
  const found = await readFormat(store, options)
  if (found !== undefined) return found
  if (options.create !== true) throw new RepositoryError('REPOSITORY_NOT_FOUND', `there is no repository at ${store.url}`)
  const format: RepositoryFormat = {
    version: VERSION,
    repositoryId: randomUUID(),
    createdAt: new Date().toISOString(),
    blockSize: options.blockSize ?? DEFAULT_BLOCK_SIZE,
    hash: 'sha256',
    compression: options.compression ?? 'zstd',
  }
  const bytes = encodeFormat(format)
  decodeFormat(bytes)
  await store.put(FORMAT_KEY, bytes, options.signal === undefined ? {} : { signal: options.signal })
  const written = await readFormat(store, options)
  if (written === undefined) throw new RepositoryError('STORE_UNAVAILABLE', `${store.url} did not keep ${FORMAT_KEY}`)
  return written
}

async function readFormat(store: Store, options: OpenRepositoryOptions): Promise<RepositoryFormat | undefined> {
  try {
    const limits = { maxLength: MAX_LENGTH, ...(options.signal === undefined ? {} : { signal: options.signal }) }
    return decodeFormat(await store.get(FORMAT_KEY, undefined, limits))
  } catch (error) {
    if (error instanceof RepositoryError && error.code === 'OBJECT_NOT_FOUND') return undefined
    throw error
  }
}

export function encodeFormat(format: RepositoryFormat): Buffer {
  return sealJson({ format: FORMAT, ...format })
}

/** @throws RepositoryError REPOSITORY_INVALID, REPOSITORY_VERSION_UNKNOWN */
export function decodeFormat(bytes: Uint8Array): RepositoryFormat {
  const opened = openSealedJson(bytes)
  if (typeof opened === 'string') throw invalid(opened)
  const { format, ...rest } = opened
  if (format !== FORMAT) throw invalid('it is not ours')
  const { version, repositoryId, createdAt, blockSize, hash, compression } = rest
  if (version !== VERSION) {
    throw new RepositoryError(
      'REPOSITORY_VERSION_UNKNOWN',
      `the repository has format version ${JSON.stringify(version)}; this program knows ${VERSION}`,
    )
  }
  if (typeof repositoryId !== 'string' || typeof createdAt !== 'string' || hash !== 'sha256') throw invalid('a field is not valid')
  if (typeof blockSize !== 'number' || !isBlockSize(blockSize)) throw invalid('its block size is not valid')
  const known = COMPRESSIONS.find(name => name === compression)
  if (known === undefined) throw invalid('its compression is not known')
  return { version, repositoryId, createdAt, blockSize, hash, compression: known }
}

function invalid(why: string): RepositoryError {
  return new RepositoryError('REPOSITORY_INVALID', `${FORMAT_KEY} is not valid: ${why}`)
}
