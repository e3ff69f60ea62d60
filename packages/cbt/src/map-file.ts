import { crc32 } from 'node:zlib'
import { CbtError } from './errors.ts'
import { GRANULARITY, granuleCount, isDiskSize } from './granule.ts'
import { WORDS_PER_PAGE } from './paged-map.ts'

/**
 * The file of a paged map: the bitmap file of a disk and the grain map of a layer. Bytes only; byte tables in DESIGN.md §7.3.
 *
 *     | header 4 KiB | group 0                                          | group 1 …
 *                    | summary 4 KiB | page 0 | page 1 | … | page 16383 |
 *
 * Words are stored with their complement, so that a flipped or torn byte shows, whenever the process dies: a checksum over
 * more than one word could not be kept true by single writes. A word of four zero bytes is an entry never set (a hole).
 */
export const MAP_FILE_PAGE = 4096
export const PAGES_PER_GROUP = WORDS_PER_PAGE * 16

const MAGIC = Buffer.from('VARVEMAP', 'latin1')
const FORMAT_VERSION = 1

export type MapKind = 'dirty-bitmap' | 'grain-map'

export interface MapFileHeader {
  readonly kind: MapKind
  /** Bytes of the disk. */
  readonly diskSize: number
  /** Bitmap: the inc_id its bits will be folded under. Grain map: 0. */
  readonly targetInc: number
}

/** Where the summary of a group of pages starts, bytes. */
export function summaryOffset(group: number): number {
  return MAP_FILE_PAGE * (1 + group * (PAGES_PER_GROUP + 1))
}

/** Where a page starts, bytes. */
export function mapPageOffset(page: number): number {
  const group = Math.floor(page / PAGES_PER_GROUP)
  return summaryOffset(group) + MAP_FILE_PAGE * (1 + (page % PAGES_PER_GROUP))
}

export function encodeMapHeader(header: MapFileHeader): Buffer {
  const bytes = Buffer.alloc(MAP_FILE_PAGE)
  MAGIC.copy(bytes, 0)
  bytes.writeUInt32LE(FORMAT_VERSION, 8)
  bytes.writeUInt32LE(header.kind === 'dirty-bitmap' ? 1 : 2, 12)
  bytes.writeUInt32LE(GRANULARITY, 16)
  bytes.writeUInt32LE(header.targetInc, 20)
  bytes.writeBigUInt64LE(BigInt(header.diskSize), 24)
  bytes.writeBigUInt64LE(BigInt(granuleCount(header.diskSize)), 32)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, MAP_FILE_PAGE - 4)), MAP_FILE_PAGE - 4)
  return bytes
}

/**
 * @throws CbtError MAP_FILE_DAMAGED, or CBT_FILE_UNSUPPORTED for a newer format.
 */
export function decodeMapHeader(bytes: Uint8Array): MapFileHeader {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const damaged = (why: string): CbtError => new CbtError('MAP_FILE_DAMAGED', `map file header: ${why}`)
  if (view.length < MAP_FILE_PAGE) throw damaged('cut short')
  if (!view.subarray(0, 8).equals(MAGIC)) throw damaged('not a map file')
  if (view.readUInt32LE(MAP_FILE_PAGE - 4) !== crc32(view.subarray(0, MAP_FILE_PAGE - 4))) throw damaged('wrong checksum')
  if (view.readUInt32LE(8) !== FORMAT_VERSION) throw new CbtError('CBT_FILE_UNSUPPORTED', 'map file of another format version')
  const kind = view.readUInt32LE(12)
  if (kind !== 1 && kind !== 2) throw damaged('unknown kind')
  const diskSize = Number(view.readBigUInt64LE(24))
  if (!isDiskSize(diskSize) || view.readUInt32LE(16) !== GRANULARITY) throw damaged('impossible size')
  if (Number(view.readBigUInt64LE(32)) !== granuleCount(diskSize)) throw damaged('count and size differ')
  return { kind: kind === 1 ? 'dirty-bitmap' : 'grain-map', diskSize, targetInc: view.readUInt32LE(20) }
}

/** Write words in their stored form: 16 bits, then the complement of them; nothing set is four zero bytes. */
export function encodeWords(words: Uint16Array, target: Uint8Array): void {
  for (let i = 0, at = 0; i < words.length; i++, at += 4) {
    const word = words[i]!
    const check = word === 0 ? 0 : ~word & 0xffff
    target[at] = word & 0xff
    target[at + 1] = word >>> 8
    target[at + 2] = check & 0xff
    target[at + 3] = check >>> 8
  }
}

/**
 * Read stored words; `bytes` holds four for each.
 *
 * @throws CbtError MAP_FILE_DAMAGED when a word and its complement disagree, or the bytes are too few.
 */
export function decodeWords(bytes: Uint8Array, words: Uint16Array): void {
  if (bytes.length < words.length * 4) throw new CbtError('MAP_FILE_DAMAGED', 'map file: page cut short')
  for (let i = 0, at = 0; i < words.length; i++, at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8)
    const check = bytes[at + 2]! | (bytes[at + 3]! << 8)
    if ((word ^ check) !== 0xffff && (word | check) !== 0) throw new CbtError('MAP_FILE_DAMAGED', 'map file: a word contradicts its check')
    words[i] = word
  }
}
