import { CatalogError, placeOf } from '@varve/catalog-client'

/** How many items a page has: what was asked for within what the list allows. */
export function pageLimit(asked: number | undefined, usual: number, most: number): number {
  return Math.min(Math.max(asked ?? usual, 1), most)
}

/** Of a list that is ordered by time. @throws BAD_REQUEST */
export function placeInTime(after: string): readonly [time: string, id: string] {
  const [time, id] = placeOf(after)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(time)) throw new CatalogError('BAD_REQUEST', 'this is no place in a list by time')
  return [time, id]
}

/** Of a list that is ordered by name. @throws BAD_REQUEST */
export function placeByName(after: string): readonly [name: string, id: string] {
  const [name, id] = placeOf(after)
  // What Postgres cannot hold is no name of it.
  if (name.includes('\0')) throw new CatalogError('BAD_REQUEST', 'this is no place in a list by name')
  return [name, id]
}
