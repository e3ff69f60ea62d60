import { pageBytes } from './geometry.ts'

/** A part of a disk, bytes. */
export interface DiskExtent {
  readonly offset: number
  readonly length: number
}

/** Indexes of the pages that ascending extents touch, ascending, each once. */
export function* touchedPages(extents: Iterable<DiskExtent>, blockSize: number): Generator<number, undefined> {
  const perPage = pageBytes(blockSize)
  let next = 0
  for (const { offset, length } of extents) {
    const last = Math.floor((offset + length - 1) / perPage)
    for (let index = Math.max(next, Math.floor(offset / perPage)); index <= last; index++) yield index
    next = Math.max(next, last + 1)
  }
  return undefined
}
