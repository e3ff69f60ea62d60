import { isTombstone, type Page, type PageArena, type PageRef } from '@varve/block-map'
import { RepositoryError } from './errors.ts'
import { fetchAhead, type GetBuffers } from './fetch-ahead.ts'
import { mapKey } from './keys.ts'
import { LruCache } from './lru-cache.ts'
import { decodeMapPage } from './map-object.ts'
import { PAGE_GETS, planGets, type Wanted } from './read-plan.ts'
import type { Store } from './store.ts'

interface WantedPage extends Wanted {
  readonly ref: PageRef
  readonly at: number
}

/** ~45 KB each in memory. */
const CACHED_PAGES = 256

export interface PagesOptions {
  readonly signal?: AbortSignal
  /** Where they lie, for pages that will not be asked for again; what is in it stays. */
  readonly arena?: PageArena
}

/** Reads pages out of map objects, neighbours together, and keeps those used last. */
export class PageReader {
  readonly #store: Store
  readonly #buffers: GetBuffers
  readonly #cache = new LruCache<Page>(CACHED_PAGES)

  /** `buffers`: to read into. */
  constructor(store: Store, buffers: GetBuffers) {
    this.#store = store
    this.#buffers = buffers
  }

  /** @throws RepositoryError MAP_MISSING, MAP_DAMAGED, and what the store throws */
  async getPages(refs: readonly PageRef[], { signal, arena }: PagesOptions = {}): Promise<Page[]> {
    const pages = new Array<Page | undefined>(refs.length)
    const wanted: WantedPage[] = []
    for (const [at, ref] of refs.entries()) {
      if (isTombstone(ref)) throw new RangeError(`page ${ref.pageIndex} is all zero and has no map`)
      const cached = this.#cache.get(cacheKey(ref))
      if (cached === undefined) wanted.push({ ref, at, object: ref.mapId, offset: ref.offset, length: ref.length })
      // The caller may write into its pages; the cache keeps its own.
      else pages[at] = cached.clone()
    }
    const gets = planGets(wanted, PAGE_GETS)
    for await (const fetched of fetchAhead(this.#store, gets, mapKey, { inFlight: 4, signal, buffers: this.#buffers })) {
      if ('error' in fetched) throw mapError(fetched.error, fetched.get.object)
      for (const { ref, at, offset, length } of fetched.get.items) {
        const start = offset - fetched.get.offset
        const page = decodeMapPage(fetched.bytes.subarray(start, start + length), ref, arena)
        if (arena === undefined) this.#cache.set(cacheKey(ref), page.clone())
        pages[at] = page
      }
    }
    return pages as Page[]
  }
}

/** The hash is part of it: a reference that lies about its page must not profit from the cache. */
function cacheKey(ref: PageRef): string {
  return `${ref.mapId}:${ref.offset}:${ref.length}:${ref.pageIndex}:${Buffer.from(ref.hash).toString('latin1')}`
}

function mapError(error: unknown, mapId: string): unknown {
  if (!(error instanceof RepositoryError)) return error
  if (error.code === 'OBJECT_NOT_FOUND') return new RepositoryError('MAP_MISSING', `map ${mapId} is gone`, { mapId }, { cause: error })
  if (error.code === 'RANGE_INVALID') return new RepositoryError('MAP_DAMAGED', `map ${mapId} is too short`, { mapId }, { cause: error })
  return error
}
