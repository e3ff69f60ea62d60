/**
 * Which ranges to get, so that neighbours travel together.
 *
 *     wanted    [--]  [---]            [--]
 *     get       [---------]            [--]     a gap of at most `coalesceGap` is read and thrown away
 */

/** Something wanted from an object. */
export interface Wanted {
  readonly object: string
  readonly offset: number
  readonly length: number
}

export interface PlannedGet<Item extends Wanted> {
  readonly object: string
  readonly offset: number
  readonly length: number
  /** By offset. */
  readonly items: readonly Item[]
}

export interface CoalesceOptions {
  /** Bytes that nobody wants, at most, between two neighbours of one get. */
  readonly coalesceGap: number
  /** Bytes of one get, at most, unless a single item is longer. */
  readonly maxGet: number
}

/** How blocks are read, unless the caller says otherwise: bytes between two blocks that are rather read than asked around, and of one get. */
export const BLOCK_GETS: CoalesceOptions = { coalesceGap: 128 * 1024, maxGet: 4 * 1024 * 1024 }

/** The same for pages of the block map: gaps of another page or so. Two dozen pages a get; the buffers stay with a lane that fills packs besides. */
export const PAGE_GETS: CoalesceOptions = { coalesceGap: 64 * 1024, maxGet: 1024 * 1024 }

/** Objects in the order of their first mention, inside each by offset. */
export function planGets<Item extends Wanted>(wanted: Iterable<Item>, options: CoalesceOptions): PlannedGet<Item>[] {
  const byObject = new Map<string, Item[]>()
  for (const item of wanted) {
    const items = byObject.get(item.object)
    if (items === undefined) byObject.set(item.object, [item])
    else items.push(item)
  }
  const gets: PlannedGet<Item>[] = []
  for (const [object, items] of byObject) {
    items.sort((a, b) => a.offset - b.offset || a.length - b.length)
    let group: Item[] = []
    let offset = 0
    let end = 0
    const close = (): void => {
      if (group.length > 0) gets.push({ object, offset, length: end - offset, items: group })
    }
    for (const item of items) {
      const itemEnd = item.offset + item.length
      const joins = group.length > 0 && item.offset - end <= options.coalesceGap && Math.max(end, itemEnd) - offset <= options.maxGet
      if (!joins) {
        close()
        group = []
        offset = item.offset
        end = itemEnd
      }
      group.push(item)
      end = Math.max(end, itemEnd)
    }
    close()
  }
  return gets
}
