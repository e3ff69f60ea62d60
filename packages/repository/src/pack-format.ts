import { crc32 } from 'node:zlib'
import { type Codec, isCodec, MAX_BLOCK_SIZE } from '@varve/block-map'
import { compressBound } from './codec/codec.ts'
import { RepositoryError } from './errors.ts'

/**
 * A pack, little-endian; DESIGN.md §7.1 has the table.
 *
 *     header 32 B | block frames | footer: 48 B per block | trailer 32 B
 *
 * A frame is nothing but the stored bytes of a block: block maps say where it is and what its hash must be. The footer
 * repeats that, so that packs alone rebuild an index. The trailer's CRC covers header, footer and trailer.
 */
export const PACK_HEADER_LENGTH = 32
export const PACK_FOOTER_ENTRY = 48
export const PACK_TRAILER_LENGTH = 32
/** A pack is closed when it holds that many blocks, however small they are; it bounds the footer. */
export const MAX_PACK_BLOCKS = 8192
/** Offsets in a pack are u32. */
export const MAX_PACK_LENGTH = 2 ** 32 - 1

const MAGIC = 0x4b505656 // "VVPK"
const END_MAGIC = 0x45505656 // "VVPE"
const VERSION = 1

/** One block in a pack, as the footer tells. */
export interface PackedBlock {
  /** SHA-256 of the block's bytes, 32 B. */
  readonly hash: Uint8Array
  readonly offset: number
  readonly storedLength: number
  readonly rawLength: number
  readonly codec: Codec
}

export function writePackHeader(target: Buffer, packId: string): void {
  target.fill(0, 0, PACK_HEADER_LENGTH)
  target.writeUInt32LE(MAGIC, 0)
  target.writeUInt16LE(VERSION, 4)
  target.write(packId, 8, 16, 'hex')
}

export function writeFooterEntry(target: Buffer, at: number, block: PackedBlock): void {
  target.set(block.hash, at)
  target.writeUInt32LE(block.offset, at + 32)
  target.writeUInt32LE(block.storedLength, at + 36)
  target.writeUInt32LE(block.rawLength, at + 40)
  target.writeUInt32LE(block.codec, at + 44)
}

/** Append footer and trailer at `footerOffset`. @returns the length of the pack. */
export function finishPack(target: Buffer, footerOffset: number, footer: Uint8Array): number {
  target.set(footer, footerOffset)
  const trailer = footerOffset + footer.length
  target.fill(0, trailer, trailer + PACK_TRAILER_LENGTH)
  target.writeUInt32LE(footerOffset, trailer)
  target.writeUInt32LE(footer.length / PACK_FOOTER_ENTRY, trailer + 4)
  target.writeUInt16LE(VERSION, trailer + 8)
  target.writeUInt32LE(END_MAGIC, trailer + 24)
  target.writeUInt32LE(packCrc(target, footerOffset, trailer), trailer + 28)
  return trailer + PACK_TRAILER_LENGTH
}

export interface PackIndex {
  readonly packId: string
  readonly blocks: readonly PackedBlock[]
}

/**
 * What is in a pack, from its whole bytes. The frames themselves are not looked at: only their hashes can tell.
 *
 * @throws RepositoryError PACK_CORRUPT
 */
export function decodePack(bytes: Uint8Array): PackIndex {
  if (bytes.length < PACK_HEADER_LENGTH + PACK_TRAILER_LENGTH) throw corrupt('it is cut')
  return decodePackIndex(bytes.subarray(0, PACK_HEADER_LENGTH), bytes, bytes.length) as PackIndex
}

/**
 * The same from the header and the last bytes of a pack of `length` bytes.
 *
 * @returns how many last bytes it takes, when `end` does not hold the whole footer.
 * @throws RepositoryError PACK_CORRUPT
 */
export function decodePackIndex(header: Uint8Array, end: Uint8Array, length: number): PackIndex | { readonly needed: number } {
  const head = Buffer.from(header.buffer, header.byteOffset, header.byteLength)
  const last = Buffer.from(end.buffer, end.byteOffset, end.byteLength)
  const trailer = last.length - PACK_TRAILER_LENGTH
  const skipped = length - last.length
  if (head.readUInt32LE(0) !== MAGIC || last.readUInt32LE(trailer + 24) !== END_MAGIC) throw corrupt('the magic is wrong')
  const footerOffset = last.readUInt32LE(trailer)
  const count = last.readUInt32LE(trailer + 4)
  const footerEnd = length - PACK_TRAILER_LENGTH
  if (count > MAX_PACK_BLOCKS || footerOffset < PACK_HEADER_LENGTH || footerOffset + count * PACK_FOOTER_ENTRY !== footerEnd) {
    throw corrupt('its footer is not where its trailer says')
  }
  if (footerOffset < skipped) return { needed: length - footerOffset }
  const footer = footerOffset - skipped
  const crc = crc32(last.subarray(footer, trailer + PACK_TRAILER_LENGTH - 4), crc32(head))
  if (crc !== last.readUInt32LE(trailer + 28)) throw corrupt('the CRC does not match')
  if (head.readUInt16LE(4) !== VERSION || last.readUInt16LE(trailer + 8) !== VERSION) throw corrupt('its version is not known')
  if (hasBits(head.subarray(6, 8)) || hasBits(head.subarray(24)) || hasBits(last.subarray(trailer + 10, trailer + 24))) {
    throw corrupt('reserved fields are set')
  }

  const blocks: PackedBlock[] = []
  for (let at = footer; at < trailer; at += PACK_FOOTER_ENTRY) {
    const codec = last.readUInt32LE(at + 44)
    if (!isCodec(codec)) throw corrupt(`block codec ${codec} is not known`)
    const block: PackedBlock = {
      hash: last.subarray(at, at + 32),
      offset: last.readUInt32LE(at + 32),
      storedLength: last.readUInt32LE(at + 36),
      rawLength: last.readUInt32LE(at + 40),
      codec,
    }
    const blockEnd = block.offset + block.storedLength
    const { rawLength } = block
    if (block.offset < PACK_HEADER_LENGTH || blockEnd > footerOffset || rawLength === 0 || rawLength > MAX_BLOCK_SIZE) {
      throw corrupt('an entry of its footer is out of bounds')
    }
    blocks.push(block)
  }
  return { packId: head.toString('hex', 8, 24), blocks }
}

/** Bytes to set aside for a pack that closes once it has `targetSize` bytes of frames. */
export function packCapacity(targetSize: number): number {
  return PACK_HEADER_LENGTH + targetSize + compressBound(MAX_BLOCK_SIZE) + MAX_PACK_BLOCKS * PACK_FOOTER_ENTRY + PACK_TRAILER_LENGTH
}

/** Header, footer, and the trailer up to the CRC itself. */
function packCrc(pack: Buffer, footerOffset: number, trailer: number): number {
  const header = crc32(pack.subarray(0, PACK_HEADER_LENGTH))
  return crc32(pack.subarray(footerOffset, trailer + PACK_TRAILER_LENGTH - 4), header)
}

function hasBits(bytes: Uint8Array): boolean {
  return bytes.some(byte => byte !== 0)
}

function corrupt(why: string): RepositoryError {
  return new RepositoryError('PACK_CORRUPT', `a pack is damaged: ${why}`)
}
