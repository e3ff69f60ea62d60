import { crc32 } from 'node:zlib'
import { isTombstone, MAX_PAGE_LENGTH, Page, type PageArena, type PageRef, tombstone } from '@varve/block-map'
import { RepositoryError } from './errors.ts'

/**
 * A map object: the pages that one job wrote, one behind the other; each page has its own length and CRC.
 *
 *     0 magic "VVMP" | 4 version u16 | 8 mapId 16 B | 24 page count u32 | 28 CRC-32 of the 28 bytes before | pages
 */
const MAGIC = 0x504d5656
const VERSION = 1
export const MAP_HEADER_LENGTH = 32
/** Where a page tells its own length. */
const PAGE_LENGTH_AT = 24

/** The most bytes that pages may take as one object. */
export function mapBound(pages: readonly Page[]): number {
  return pages.reduce((sum, page) => sum + page.encodedBound, MAP_HEADER_LENGTH)
}

/**
 * Pages as one object and the references to them. All-zero pages become tombstones; without any other, `bytes` is undefined.
 *
 * @param target has room for `mapBound(pages)` and may hold anything; `bytes` are the beginning of it
 */
export function encodeMap(
  mapId: string,
  pages: readonly Page[],
  target: Buffer = Buffer.allocUnsafeSlow(mapBound(pages)),
): { readonly bytes: Buffer | undefined; readonly refs: PageRef[] } {
  const refs: PageRef[] = []
  let stored = 0
  let offset = MAP_HEADER_LENGTH
  for (const page of pages) {
    if (page.storedBlocks === 0) {
      refs.push(tombstone(page.pageIndex))
      continue
    }
    const length = page.encodeInto(target.subarray(offset))
    refs.push({ pageIndex: page.pageIndex, mapId, offset, length, hash: page.hash(), storedBlocks: page.storedBlocks })
    offset += length
    stored += 1
  }
  if (stored === 0) return { bytes: undefined, refs }
  target.fill(0, 0, MAP_HEADER_LENGTH)
  target.writeUInt32LE(MAGIC, 0)
  target.writeUInt16LE(VERSION, 4)
  target.write(mapId, 8, 16, 'hex')
  target.writeUInt32LE(stored, 24)
  target.writeUInt32LE(crc32(target.subarray(0, 28)), 28)
  return { bytes: target.subarray(0, offset), refs }
}

/** A page from its bytes in a map, checked against the reference to it. @throws RepositoryError MAP_DAMAGED */
export function decodeMapPage(bytes: Uint8Array, ref: PageRef, arena?: PageArena): Page {
  let page: Page
  try {
    page = Page.decode(bytes, arena)
  } catch (cause) {
    throw damaged(ref, cause)
  }
  if (page.pageIndex !== ref.pageIndex || isTombstone(ref) || !page.hash().equals(ref.hash)) throw damaged(ref)
  return page
}

/**
 * All pages of a map object, for when the references to them are lost. Of one that is `cut`, those that are whole.
 *
 * @throws RepositoryError MAP_DAMAGED when the object as a whole, or any page of it, is not right.
 */
export function decodeMap(
  bytes: Uint8Array,
  { cut = false }: { readonly cut?: boolean } = {},
): { readonly mapId: string; readonly pages: readonly Page[] } {
  const map = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const corrupt = (why: string, cause?: unknown) => new RepositoryError('MAP_DAMAGED', `a map object is damaged: ${why}`, {}, { cause })
  if (map.length < MAP_HEADER_LENGTH) throw corrupt('it is cut')
  if (map.readUInt32LE(0) !== MAGIC || crc32(map.subarray(0, 28)) !== map.readUInt32LE(28)) throw corrupt('its header does not match')
  if (map.readUInt16LE(4) !== VERSION) throw corrupt(`version ${map.readUInt16LE(4)} is not known`)
  if (map.readUInt16LE(6) !== 0) throw corrupt('reserved fields are set')
  const mapId = map.toString('hex', 8, 24)
  const pages: Page[] = []
  let at = MAP_HEADER_LENGTH
  for (let left = map.readUInt32LE(24); left > 0; left--) {
    const room = map.length - at
    const length = room < PAGE_LENGTH_AT + 4 ? room + 1 : map.readUInt32LE(at + PAGE_LENGTH_AT)
    // What it takes to be longer than any page is damage, not the cut.
    if (cut && length > room && room < MAX_PAGE_LENGTH) return { mapId, pages }
    if (room < PAGE_LENGTH_AT + 4) throw corrupt('it is cut')
    try {
      pages.push(Page.decode(map.subarray(at, at + length)))
    } catch (cause) {
      throw corrupt(`page ${pages.length} of it is not valid`, cause)
    }
    at += length
  }
  if (at !== map.length) throw corrupt('something follows its pages')
  return { mapId, pages }
}

function damaged(ref: PageRef, cause?: unknown): RepositoryError {
  const context = { mapId: ref.mapId, offset: ref.offset, pageIndex: ref.pageIndex }
  return new RepositoryError('MAP_DAMAGED', `map ${ref.mapId} does not hold page ${ref.pageIndex} as it was written`, context, { cause })
}
