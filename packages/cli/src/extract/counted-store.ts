import type { Store } from '@varve/repository'

/** What was asked of a store, whatever its kind. */
export interface StoreCounts {
  gets: number
  /** Bytes received. */
  bytes: number
}

/** The same store, for reading, that counts. */
export function countedStore(store: Store): { readonly store: Store; readonly counts: StoreCounts } {
  const counts: StoreCounts = { gets: 0, bytes: 0 }
  const counted: Store = {
    url: store.url,
    put: (key, bytes, options) => store.put(key, bytes, options),
    async get(key, range, options) {
      counts.gets += 1
      const bytes = await store.get(key, range, options)
      counts.bytes += bytes.length
      return bytes
    },
    list: (prefix, options) => store.list(prefix, options),
    delete: (keys, options) => store.delete(keys, options),
    close: () => store.close(),
  }
  return { store: counted, counts }
}
