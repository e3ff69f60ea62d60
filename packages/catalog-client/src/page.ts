import { CatalogError } from './errors.ts'

/** A part of a list: at most `limit` items (the list's own default when absent), from behind the item whose place is `after`. */
export interface PageRequest {
  readonly limit?: number
  /** A place that `placeAfter` gave; opaque to whoever passes it on. */
  readonly after?: string
}

/** Bytes of a place at most: a name of 1024 characters of 4 bytes each, and an id. */
const PLACE_MAX = 8192

/**
 * The place of an item in its list, from what the list is ordered by: time or name, then id. It is made of the item itself and names no row, so that paging
 * goes on behind it although the item may be gone by then.
 */
export function placeAfter(
  item: { readonly id: string; readonly createdAt: string } | { readonly id: string; readonly name: string },
): string {
  return Buffer.from(JSON.stringify(['createdAt' in item ? item.createdAt : item.name, item.id])).toString('base64url')
}

/** The place to go on from, null when this page was the last. */
export function pageEnd<Item extends Parameters<typeof placeAfter>[0]>(items: readonly Item[], limit: number): string | null {
  const last = items.at(-1)
  return last === undefined || items.length < limit ? null : placeAfter(last)
}

/** What `placeAfter` wrote. @throws BAD_REQUEST */
export function placeOf(after: string): readonly [key: string, id: string] {
  if (after.length <= PLACE_MAX) {
    try {
      const place: unknown = JSON.parse(Buffer.from(after, 'base64url').toString('utf8'))
      if (Array.isArray(place) && place.length === 2 && typeof place[0] === 'string' && isId(place[1])) return [place[0], place[1]]
    } catch {
      // Not JSON: told below.
    }
  }
  throw new CatalogError('BAD_REQUEST', 'this is no place in a list; take `next` of the page before as it is')
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)
}
