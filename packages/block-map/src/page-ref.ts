import { crc32 } from 'node:zlib'
import { BlockMapError } from './errors.ts'
import { PAGE_BLOCKS } from './geometry.ts'
import { readId, writeId } from './hex.ts'
import { HEADER_LENGTH, MAX_PAGE_LENGTH } from './page-codec.ts'

/** Bytes of an encoded page reference. */
export const PAGE_REF_LENGTH = 64
const NO_MAP = '0'.repeat(32)
const CHECK_AT = 6

/** Where one page is stored, and the hash of its content. */
export interface PageRef {
  readonly pageIndex: number
  /** The map object that holds it, 32 hex digits; all zeros in a tombstone. */
  readonly mapId: string
  /** Bytes from the start of the map object. */
  readonly offset: number
  readonly length: number
  /** `page.hash()`, 32 bytes. */
  readonly hash: Uint8Array
  /** Blocks that are not zero. 0 = tombstone: the page became all zero, nothing is stored for it. */
  readonly storedBlocks: number
}

/** Says that a page is all zero now, so that the parent's page does not show through. Lives only between ranges and root. */
export function tombstone(pageIndex: number): PageRef {
  return { pageIndex, mapId: NO_MAP, offset: 0, length: 0, hash: new Uint8Array(32), storedBlocks: 0 }
}

export function isTombstone(ref: PageRef): boolean {
  return ref.storedBlocks === 0
}

/**
 * References as bytes, 64 each, so that encodings can simply be put one behind the other.
 *
 *     0 pageIndex u32 | 4 storedBlocks u16 | 6 check u16 | 8 mapId 16 B | 24 offset u32 | 28 length u32 | 32 hash 32 B
 */
export function encodePageRefs(refs: readonly PageRef[]): Buffer {
  const out = Buffer.alloc(refs.length * PAGE_REF_LENGTH)
  let at = 0
  for (const ref of refs) {
    out.writeUInt32LE(ref.pageIndex, at)
    out.writeUInt16LE(ref.storedBlocks, at + 4)
    writeId(out, ref.mapId, at + 8)
    out.writeUInt32LE(ref.offset, at + 24)
    out.writeUInt32LE(ref.length, at + 28)
    out.set(ref.hash, at + 32)
    out.writeUInt16LE(check(out, at), at + CHECK_AT)
    at += PAGE_REF_LENGTH
  }
  return out
}

/** @throws BlockMapError MAP_CORRUPT */
export function decodePageRefs(bytes: Uint8Array): PageRef[] {
  if (bytes.length % PAGE_REF_LENGTH !== 0) throw corrupt('they are cut')
  // A copy, so that the hashes do not keep a larger buffer alive.
  const input = Buffer.from(bytes)
  const refs: PageRef[] = []
  for (let at = 0; at < input.length; at += PAGE_REF_LENGTH) {
    const stated = input.readUInt16LE(at + CHECK_AT)
    input.writeUInt16LE(0, at + CHECK_AT)
    if (check(input, at) !== stated) throw corrupt('the check sum does not match')
    const ref: PageRef = {
      pageIndex: input.readUInt32LE(at),
      mapId: readId(input, at + 8),
      offset: input.readUInt32LE(at + 24),
      length: input.readUInt32LE(at + 28),
      hash: input.subarray(at + 32, at + 64),
      storedBlocks: input.readUInt16LE(at + 4),
    }
    const valid =
      ref.storedBlocks === 0
        ? ref.mapId === NO_MAP && ref.offset === 0 && ref.length === 0
        : ref.storedBlocks <= PAGE_BLOCKS && ref.length > HEADER_LENGTH && ref.length <= MAX_PAGE_LENGTH
    if (!valid) throw corrupt('a field is out of bounds')
    refs.push(ref)
  }
  return refs
}

/** CRC-32 of the reference with its check field zero, folded to 16 bits. */
function check(bytes: Buffer, at: number): number {
  const crc = crc32(bytes.subarray(at, at + PAGE_REF_LENGTH))
  return (crc ^ (crc >>> 16)) & 0xffff
}

function corrupt(why: string): BlockMapError {
  return new BlockMapError('MAP_CORRUPT', `the page references are damaged: ${why}`)
}
