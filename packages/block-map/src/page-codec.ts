import { crc32 } from 'node:zlib'
import { BlockMapError } from './errors.ts'
import { PAGE_BLOCKS } from './geometry.ts'
import { asBuffer } from './hex.ts'
import { isCodec } from './location.ts'
import { COLUMN_BYTES, type PageArena } from './page-arena.ts'

/**
 * The bytes of a page; little-endian. DESIGN.md §7.2 has the table.
 *
 *     header 32 B | presence bitmap | pack ids, 16 B each | entries, 44 B each | CRC-32
 */
export const HEADER_LENGTH = 32
export const ENTRY_LENGTH = 44
export const HASH_LENGTH = 32
const MAGIC = 0x47505656 // "VVPG"
const VERSION = 1
const CRC_LENGTH = 4

/** Bytes of a page that names so many packs. */
function encodedLength(blockCount: number, packs: number, storedBlocks: number): number {
  return HEADER_LENGTH + Math.ceil(blockCount / 8) + packs * 16 + storedBlocks * ENTRY_LENGTH + CRC_LENGTH
}

/** The most bytes that a page may take encoded: if each block lay in a pack of its own. */
export function encodedBound(blockCount: number, storedBlocks: number): number {
  return encodedLength(blockCount, storedBlocks, storedBlocks)
}

/** The longest encoding of a page; what a reader may have to allocate. */
export const MAX_PAGE_LENGTH = encodedBound(PAGE_BLOCKS, PAGE_BLOCKS)

/** A page's columns: one value per block, so that no object exists per block. Values of zero blocks are meaningless. */
export interface PageColumns {
  readonly pageIndex: number
  readonly blockCount: number
  /** 1 = stored, 0 = zero. */
  readonly stored: Uint8Array
  readonly hashes: Uint8Array
  /** Index into `packs`. */
  readonly pack: Uint16Array
  readonly offset: Uint32Array
  readonly length: Uint32Array
  readonly codec: Uint8Array
  /** Pack ids, 16 bytes each as 32 hex digits. */
  readonly packs: readonly string[]
}

/** All blocks zero. `arena`: where they lie; none: memory of their own. */
export function newColumns(pageIndex: number, blockCount: number, packs: readonly string[], arena?: PageArena): PageColumns {
  const { buffer, offset } = arena?.take() ?? { buffer: new ArrayBuffer(blockCount * COLUMN_BYTES), offset: 0 }
  const hashes = new Uint8Array(buffer, offset, blockCount * HASH_LENGTH)
  const offsets = new Uint32Array(buffer, offset + blockCount * 32, blockCount)
  const lengths = new Uint32Array(buffer, offset + blockCount * 36, blockCount)
  const pack = new Uint16Array(buffer, offset + blockCount * 40, blockCount)
  const stored = new Uint8Array(buffer, offset + blockCount * 42, blockCount)
  const codec = new Uint8Array(buffer, offset + blockCount * 43, blockCount)
  return { pageIndex, blockCount, stored: stored.fill(0), hashes, pack, offset: offsets, length: lengths, codec, packs }
}

/** Write a page to the beginning of `out`, which has room for `encodedBound` and may hold anything. @returns its length */
export function encodePage(page: PageColumns, out: Buffer): number {
  // Packs that no entry refers to any more are left out; the others keep the order of their first use.
  const renumber = new Int32Array(page.packs.length).fill(-1)
  const packs: string[] = []
  let storedBlocks = 0
  for (let i = 0; i < page.blockCount; i++) {
    if (page.stored[i] === 0) continue
    storedBlocks += 1
    const pack = page.pack[i]!
    if (renumber[pack] === -1) renumber[pack] = packs.push(page.packs[pack]!) - 1
  }
  const bitmapLength = Math.ceil(page.blockCount / 8)
  const total = encodedLength(page.blockCount, packs.length, storedBlocks)
  out.fill(0, 0, HEADER_LENGTH + bitmapLength)
  out.writeUInt32LE(MAGIC, 0)
  out.writeUInt16LE(VERSION, 4)
  out.writeUInt32LE(page.pageIndex, 8)
  out.writeUInt32LE(page.blockCount, 12)
  out.writeUInt32LE(storedBlocks, 16)
  out.writeUInt32LE(packs.length, 20)
  out.writeUInt32LE(total, 24)
  let at = HEADER_LENGTH + bitmapLength
  for (const id of packs) at += out.write(id, at, 16, 'hex')
  for (let i = 0; i < page.blockCount; i++) {
    if (page.stored[i] === 0) continue
    out[HEADER_LENGTH + (i >> 3)]! |= 1 << (i & 7)
    out.set(page.hashes.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH), at)
    out.writeUInt32LE(page.offset[i]!, at + 32)
    out.writeUInt32LE(page.length[i]!, at + 36)
    out.writeUInt16LE(renumber[page.pack[i]!]!, at + 40)
    out[at + 42] = page.codec[i]!
    out[at + 43] = 0
    at += ENTRY_LENGTH
  }
  out.writeUInt32LE(crc32(out.subarray(0, at)), at)
  return total
}

/** @throws BlockMapError MAP_CORRUPT, MAP_VERSION_UNKNOWN */
export function decodePage(bytes: Uint8Array, arena?: PageArena): PageColumns {
  const input = asBuffer(bytes)
  if (input.length < HEADER_LENGTH + CRC_LENGTH || input.length > MAX_PAGE_LENGTH) throw corrupt(`${input.length} bytes cannot be a page`)
  if (input.readUInt32LE(0) !== MAGIC) throw corrupt('the magic is wrong')
  const crcAt = input.length - CRC_LENGTH
  if (crc32(input.subarray(0, crcAt)) !== input.readUInt32LE(crcAt)) throw corrupt('the CRC does not match')
  const version = input.readUInt16LE(4)
  if (version !== VERSION) throw new BlockMapError('MAP_VERSION_UNKNOWN', `page version ${version} is not known`, { version })

  const pageIndex = input.readUInt32LE(8)
  const blockCount = input.readUInt32LE(12)
  const storedBlocks = input.readUInt32LE(16)
  const packCount = input.readUInt32LE(20)
  if (input.readUInt16LE(6) !== 0 || input.readUInt32LE(28) !== 0) throw corrupt('reserved fields are set')
  if (blockCount === 0 || blockCount > PAGE_BLOCKS) throw corrupt(`a page cannot hold ${blockCount} blocks`)
  if (storedBlocks > blockCount || packCount > storedBlocks) throw corrupt('its counts disagree')
  const bitmapLength = Math.ceil(blockCount / 8)
  const total = encodedLength(blockCount, packCount, storedBlocks)
  if (total !== input.length || total !== input.readUInt32LE(24)) throw corrupt('its length does not fit its counts')

  let at = HEADER_LENGTH + bitmapLength
  const packs: string[] = []
  for (let i = 0; i < packCount; i++, at += 16) packs.push(input.toString('hex', at, at + 16))
  const page = newColumns(pageIndex, blockCount, packs, arena)
  for (let i = 0; i < bitmapLength * 8; i++) {
    if ((input[HEADER_LENGTH + (i >> 3)]! & (1 << (i & 7))) === 0) continue
    if (i >= blockCount || at === crcAt) throw corrupt('its bitmap disagrees with its counts')
    const codec = input[at + 42]!
    if (!isCodec(codec)) throw new BlockMapError('MAP_VERSION_UNKNOWN', `block codec ${codec} is not known`, { codec })
    page.stored[i] = 1
    page.hashes.set(input.subarray(at, at + HASH_LENGTH), i * HASH_LENGTH)
    page.offset[i] = input.readUInt32LE(at + 32)
    page.length[i] = input.readUInt32LE(at + 36)
    page.pack[i] = input.readUInt16LE(at + 40)
    page.codec[i] = codec
    if (page.pack[i]! >= packCount || page.length[i] === 0 || input[at + 43] !== 0) throw corrupt('an entry is not valid')
    at += ENTRY_LENGTH
  }
  if (at !== crcAt) throw corrupt('its bitmap disagrees with its counts')
  return page
}

function corrupt(why: string): BlockMapError {
  return new BlockMapError('MAP_CORRUPT', `the page of a block map is damaged: ${why}`)
}
