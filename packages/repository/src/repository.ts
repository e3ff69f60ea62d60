import { decodeRoot, encodeRoot, type Page, type PageRef, type Root } from '@varve/block-map'
import { abortable } from '@varve/runtime/abortable'
import { type BlockCompressor, openCompressor } from './codec/codec.ts'
import { KeptBuffers } from './kept-buffers.ts'
import { manifestKey, manifestPrefix, mapKey, type NewObjectId, POINTS_PREFIX, rootKey } from './keys.ts'
import { LruCache } from './lru-cache.ts'
import { decodeManifest, encodeManifest, MAX_MANIFEST_LENGTH, type RestorePointManifest } from './manifest.ts'
import { encodeMap, mapBound } from './map-object.ts'
import { PackWriter, type PackWriterOptions, type WrittenObject } from './pack-writer.ts'
import { PageReader, type PagesOptions } from './page-reader.ts'
import { type ReadBackOptions, readBack } from './read-back.ts'
import { type BlockRequest, type BlockResult, type ReadBlocksOptions, readBlocks } from './read-blocks.ts'
import { ReadBuffers } from './read-buffers.ts'
import { loadFormat, type OpenRepositoryOptions, type RepositoryFormat } from './repository-format.ts'
import type { Store } from './store.ts'

export interface CallOptions {
  readonly signal?: AbortSignal
}

/**
 * Packs, maps, roots and manifests over a store. Write in this order, so that nothing names what is not durable yet: blocks
 * (`packWriter` ... `finish`), pages (`putMap`), roots (`putRoot`), the restore point (`putManifest`). Nothing here lists or asks
 * for the existence of an object, except `listManifests`.
 *
 * Errors are RepositoryErrors, and BlockMapErrors for roots.
 */
export interface Repository {
  readonly format: RepositoryFormat
  readonly store: Store

  /** For the blocks of one job. `newId` makes the ids of packs and maps of that job (`objectIds`). */
  packWriter(newId: NewObjectId, options?: PackWriterOptions): PackWriter

  /** Store pages as one object. All-zero pages give tombstone references; when all are, there is no object. Refs in the order of the pages. */
  putMap(
    newId: NewObjectId,
    pages: readonly Page[],
    options?: CallOptions,
  ): Promise<{ readonly object: WrittenObject<'map'> | undefined; readonly refs: PageRef[] }>
  /**
   * Pages in the order of the references (no tombstones), each the caller's own copy, checked against the reference's hash. Those
   * that go into an arena are not remembered. MAP_MISSING, MAP_DAMAGED.
   */
  getPages(refs: readonly PageRef[], options?: PagesOptions): Promise<Page[]>

  /** @returns its key. Repeating it with the same root changes nothing. */
  putRoot(root: Root, options?: CallOptions): Promise<string>
  /** `fresh`: what the store answers once, whatever is remembered; else a damaged one is looked at again. */
  getRoot(key: string, options?: CallOptions & { readonly fresh?: boolean }): Promise<Root>

  /** @returns its key. Repeating it with the same manifest changes nothing. */
  putManifest(manifest: RestorePointManifest, options?: CallOptions): Promise<string>
  /** `fresh`: what the store answers once. */
  getManifest(key: string, options?: CallOptions & { readonly fresh?: boolean }): Promise<RestorePointManifest>
  /** Keys of the manifests of one VM or of all, by VM and then oldest first. Lists the store: not for the hot path. */
  listManifests(vmId?: string, options?: CallOptions): Promise<string[]>

  /**
   * Read blocks back, in pack order (not in the order asked for), several gets under way. Each result is one block; a block that is
   * missing, cut or altered comes as `damage` and the others go on. What only says that the store is in trouble is thrown.
   * The bytes of a block are good until the next one is asked for. Memory is bounded by `(inFlight + 1) * maxGet`, plus what the caller keeps.
   */
  readBlocks(requests: readonly BlockRequest[], options?: ReadBlocksOptions): AsyncIterable<BlockResult>

  /** Does the store give back a pack or map as it was written? Why not, undefined when it does. What only says that the store is in trouble is thrown. */
  readBack(object: WrittenObject, options?: ReadBackOptions): Promise<string | undefined>
}

/** @throws RepositoryError REPOSITORY_NOT_FOUND, REPOSITORY_INVALID, REPOSITORY_VERSION_UNKNOWN, and what the store throws */
export async function openRepository(store: Store, options: OpenRepositoryOptions = {}): Promise<Repository> {
  return new StoredRepository(store, await loadFormat(store, options), options.zstdLevel)
}

/** Page references that roots in the cache may have together, 64 B each: two full disks of 63 TiB at the default block size. */
const CACHED_REFS = 600_000
/** Before a root or manifest counts as damaged. */
const LOOKS = 3
/** 64 B a page: enough for 1 PiB at the default block size. */
const MAX_ROOT_LENGTH = 256 * 1024 * 1024
/** One writer fills one and sends one. */
const KEPT_PACKS = 2

/** Bytes: a default read has five gets of 4 MiB at hand, an extraction several small ones. */
const KEPT_FOR_READING = 48 * 1024 * 1024

class StoredRepository implements Repository {
  readonly format: RepositoryFormat
  readonly store: Store
  readonly #pages: PageReader
  readonly #roots = new LruCache<Root>(CACHED_REFS)
  readonly #rootsComing = new Map<string, Promise<Root>>()
  readonly #buffers = new KeptBuffers(KEPT_PACKS)
  readonly #readBuffers = new ReadBuffers(KEPT_FOR_READING)
  readonly #compressor: BlockCompressor | undefined

  constructor(store: Store, format: RepositoryFormat, zstdLevel: number | undefined) {
    this.store = store
    this.format = format
    this.#pages = new PageReader(store, this.#readBuffers)
    this.#compressor = openCompressor(format.compression, zstdLevel)
  }

  packWriter(newId: NewObjectId, options: PackWriterOptions = {}): PackWriter {
    return new PackWriter(this.store, newId, this.#compressor, this.#buffers, options)
  }

  async putMap(newId: NewObjectId, pages: readonly Page[], options: CallOptions = {}): ReturnType<Repository['putMap']> {
    const mapId = newId()
    // A pack's buffer, which is idle by now and longer than any map.
    const buffer = this.#buffers.takeAtLeast(mapBound(pages))
    const { bytes, refs } = encodeMap(mapId, pages, buffer)
    const key = mapKey(mapId)
    if (bytes !== undefined) await this.store.put(key, bytes, options)
    // After a failure something may still read it; it is left to the garbage collector.
    this.#buffers.giveBack(buffer)
    return { object: bytes && { key, size: bytes.length, kind: 'map' }, refs }
  }

  getPages(refs: readonly PageRef[], options: PagesOptions = {}): Promise<Page[]> {
    return this.#pages.getPages(refs, options)
  }

  async putRoot(root: Root, options: CallOptions = {}): Promise<string> {
    const key = rootKey(root.imageId)
    await this.store.put(key, encodeRoot(root), options)
    this.#roots.delete(key)
    return key
  }

  async getRoot(key: string, { fresh = false, ...options }: CallOptions & { readonly fresh?: boolean } = {}): Promise<Root> {
    const cached = fresh ? undefined : this.#roots.get(key)
    if (cached !== undefined) return cached
    // Somebody asks for the same 16 MiB: only when nothing comes of that is it asked for again.
    const coming = fresh ? undefined : this.#rootsComing.get(key)?.catch(() => undefined)
    const theirs = coming && (await abortable(coming, options.signal))
    if (theirs !== undefined) return theirs
    const asking = this.#lookedAt(decodeRoot, key, fresh ? 1 : LOOKS, { ...options, maxLength: MAX_ROOT_LENGTH })
    this.#rootsComing.set(key, asking)
    try {
      const root = await asking
      this.#roots.set(key, root, root.pages.length + 1)
      return root
    } finally {
      if (this.#rootsComing.get(key) === asking) this.#rootsComing.delete(key)
    }
  }

  async putManifest(manifest: RestorePointManifest, options: CallOptions = {}): Promise<string> {
    const key = manifestKey(manifest.vm.id, manifest.createdAt, manifest.restorePointId)
    await this.store.put(key, encodeManifest(manifest), options)
    return key
  }

  async getManifest(
    key: string,
    { fresh = false, ...options }: CallOptions & { readonly fresh?: boolean } = {},
  ): Promise<RestorePointManifest> {
    return this.#lookedAt(decodeManifest, key, fresh ? 1 : LOOKS, { ...options, maxLength: MAX_MANIFEST_LENGTH })
  }

  /** One wrong answer does not make a wrong object: whole runs and points stand on these few bytes. */
  async #lookedAt<T>(
    decode: (bytes: Uint8Array) => T,
    key: string,
    looks: number,
    options: CallOptions & { readonly maxLength: number },
  ): Promise<T> {
    for (let look = 1; ; look += 1) {
      const bytes = await this.store.get(key, undefined, options)
      try {
        return decode(bytes)
      } catch (error) {
        if (look === looks) throw error
      }
    }
  }

  async listManifests(vmId?: string, options: CallOptions = {}): Promise<string[]> {
    const keys: string[] = []
    for await (const { key } of this.store.list(vmId === undefined ? POINTS_PREFIX : manifestPrefix(vmId), options)) {
      if (key.endsWith('.json')) keys.push(key)
    }
    return keys.sort()
  }

  readBlocks(requests: readonly BlockRequest[], options: ReadBlocksOptions = {}): AsyncIterable<BlockResult> {
    return readBlocks(this.store, this.format.blockSize, this.#readBuffers, requests, options)
  }

  readBack(object: WrittenObject, options: ReadBackOptions = {}): Promise<string | undefined> {
    return readBack(this.store, this.format.blockSize, object, options)
  }
}
