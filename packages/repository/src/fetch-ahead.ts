import { RepositoryError } from './errors.ts'
import type { PlannedGet, Wanted } from './read-plan.ts'
import type { Store } from './store.ts'

export type Fetched<Item extends Wanted> =
  | { readonly get: PlannedGet<Item>; readonly bytes: Uint8Array; readonly buffer?: Uint8Array }
  | { readonly get: PlannedGet<Item>; readonly error: unknown }

/** Where the answers of gets may go. */
export interface GetBuffers {
  /** Undefined: a new one, for answers of this length. */
  take(length: number): Uint8Array | undefined
  giveBack(buffer: Uint8Array): void
}

/**
 * Run planned gets with `inFlight` of them under way, and yield the answers in the order of the plan; memory is bounded by
 * `inFlight + 1` gets. A get of several items that fails because the object is too short is tried again item by item, so that
 * those before the end are still found. Stopping the iteration cancels what is under way.
 *
 * @param options.buffers bytes that came into one of these are good until the next answer is asked for
 */
export async function* fetchAhead<Item extends Wanted>(
  store: Store,
  gets: readonly PlannedGet<Item>[],
  keyOf: (object: string) => string,
  options: { readonly inFlight: number; readonly signal: AbortSignal | undefined; readonly buffers?: GetBuffers },
): AsyncGenerator<Fetched<Item>> {
  const abort = new AbortController()
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, options.signal])
  const fetch = async (get: PlannedGet<Item>): Promise<Fetched<Item>> => {
    try {
      const into = options.buffers?.take(get.length)
      const bytes = await store.get(keyOf(get.object), { offset: get.offset, length: get.length }, { signal, into })
      return { get, bytes, ...(into === undefined ? {} : { buffer: into }) }
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
      // Read to its end; after a failure, or an iteration that was left, a buffer may still be written to and goes with its get.
      if ('bytes' in fetched && fetched.buffer !== undefined) options.buffers?.giveBack(fetched.buffer)
    }
  } finally {
    abort.abort()
  }
}
