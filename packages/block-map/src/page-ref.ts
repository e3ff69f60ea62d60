import { crc32 } from 'node:zlib'
import { BlockMapError } from './errors.ts'
import { PAGE_BLOCKS } from './geometry.ts'
import { readId, writeId } from './hex.ts'
import { HEADER_LENGTH, MAX_PAGE_LENGTH } from './page-codec.ts'

/** Bytes of an encoded page reference. */
export const PAGE_REF_LENGTH = 64
const NO_MAP = '0'.repeat(32)
const CHECK_AT = 6
export const HASH_AT = 32

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

/** `PAGE_REF_LENGTH` bytes at `at`; page-refs.ts has the layout. */
export function writePageRef(target: Buffer, ref: PageRef, at: number): void {
  target.writeUInt32LE(ref.pageIndex, at)
  target.writeUInt16LE(ref.storedBlocks, at + 4)
  target.writeUInt16LE(0, at + CHECK_AT)
  writeId(target, ref.mapId, at + 8)
  target.writeUInt32LE(ref.offset, at + 24)
  target.writeUInt32LE(ref.length, at + 28)
  target.set(ref.hash, at + HASH_AT)
  target.writeUInt16LE(check(target, at), at + CHECK_AT)
}

/** Of bytes that `checkPageRef` has passed. `hash` is a view of them. */
export function readPageRef(source: Buffer, at: number): PageRef {
  return {
    pageIndex: source.readUInt32LE(at),
    mapId: readId(source, at + 8),
    offset: source.readUInt32LE(at + 24),
    length: source.readUInt32LE(at + 28),
    hash: source.subarray(at + HASH_AT, at + PAGE_REF_LENGTH),
    storedBlocks: source.readUInt16LE(at + 4),
  }
}

/** @throws BlockMapError MAP_CORRUPT */
export function checkPageRef(source: Buffer, at: number): void {
  if (check(source, at) !== source.readUInt16LE(at + CHECK_AT)) throw corrupt('the check sum does not match')
  const storedBlocks = source.readUInt16LE(at + 4)
  const length = source.readUInt32LE(at + 28)
  const valid =
    storedBlocks === 0
      ? length === 0 && source.readUInt32LE(at + 24) === 0 && readId(source, at + 8) === NO_MAP
      : storedBlocks <= PAGE_BLOCKS && length > HEADER_LENGTH && length <= MAX_PAGE_LENGTH
  if (!valid) throw corrupt('a field is out of bounds')
}

const NO_CHECK = Buffer.alloc(2)

/** CRC-32 of the reference with its check field zero, folded to 16 bits. */
function check(bytes: Buffer, at: number): number {
  const before = crc32(NO_CHECK, crc32(bytes.subarray(at, at + CHECK_AT)))
  const crc = crc32(bytes.subarray(at + CHECK_AT + NO_CHECK.length, at + PAGE_REF_LENGTH), before)
  return (crc ^ (crc >>> 16)) & 0xffff
}

function corrupt(why: string): BlockMapError {
  return new BlockMapError('MAP_CORRUPT', `the page references are damaged: ${why}`)
}
