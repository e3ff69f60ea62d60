import { RepositoryError } from './errors.ts'
import type { PlannedGet, Wanted } from './read-plan.ts'
import type { Store } from './store.ts'

export type Fetched<Item extends Wanted> =
  | { readonly get: PlannedGet<Item>; readonly bytes: Uint8Array }
  | { readonly get: PlannedGet<Item>; readonly error: unknown }

/**
 * Run planned gets with `inFlight` of them under way, and yield the answers in the order of the plan; memory is bounded by
 * `inFlight + 1` gets. A get of several items that fails because the object is too short is tried again item by item, so that
 * those before the end are still found. Stopping the iteration cancels what is under way.
 */
export async function* fetchAhead<Item extends Wanted>(
  store: Store,
  gets: readonly PlannedGet<Item>[],
  keyOf: (object: string) => string,
  options: { readonly inFlight: number; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Fetched<Item>> {
  const abort = new AbortController()
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, options.signal])
  const fetch = async (get: PlannedGet<Item>): Promise<Fetched<Item>> => {
    try {
      return { get, bytes: await store.get(keyOf(get.object), { offset: get.offset, length: get.length }, { signal }) }
    } catch (error) {
      return { get, error }
    }
  }
  const queue = gets.toReversed()
  const window: Promise<Fetched<Item>>[] = []
  const fill = (): void => {
    while (window.length < options.inFlight && queue.length > 0) window.push(fetch(queue.pop()!))
  }
  try {
    for (fill(); window.length > 0; ) {
      const fetched = await window.shift()!
      signal.throwIfAborted()
      const { get } = fetched
      if (
        'error' in fetched &&
        get.items.length > 1 &&
        fetched.error instanceof RepositoryError &&
        fetched.error.code === 'RANGE_INVALID'
      ) {
        for (const item of get.items.toReversed())
          queue.push({ object: get.object, offset: item.offset, length: item.length, items: [item] })
        fill()
        continue
      }
      fill()
      yield fetched
    }
  } finally {
    abort.abort()
  }
}
