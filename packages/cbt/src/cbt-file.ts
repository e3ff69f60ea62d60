import { crc32 } from 'node:zlib'
import { checkpointId } from './checkpoint.ts'
import { CbtError } from './errors.ts'
import { GRANULARITY, granuleCount, isDiskSize } from './granule.ts'

/**
 * The CBT file of a disk: one 4-byte version number per granule, the inc_id under which it last changed, 0 = never
 * allocated. Bytes only; byte tables in DESIGN.md §7.3.
 *
 *     | header 4 KiB | page table: 8 bytes a page, padded to 4 KiB | page 0, 16 KiB | page 1 | …
 *
 * A page holds 4096 version numbers (256 MiB of disk); a page whose table entry is zero was never written.
 */
export const CBT_HEADER_SIZE = 4096
export const CBT_PAGE_SIZE = 16384
export const VERSIONS_PER_PAGE = CBT_PAGE_SIZE / 4
export const TABLE_ENTRY_SIZE = 8
/** `data_crc` while the pages are being changed: the page table proves nothing now. */
export const DATA_CRC_NOT_SET = 0xffff_ffff

const MAGIC = Buffer.from('VARVECBT', 'latin1')
const FORMAT_VERSION = 1
const FLAG_EXPIRED = 1

export interface CbtHeader {
  readonly versionId: number
  /** inc_id of the newest checkpoint that the pages hold. */
  readonly incId: number
  /** The first inc_id this tracking knows: checkpoints before it can't be answered. */
  readonly baseInc: number
  /** inc_id of the fold in progress, 0 = none. */
  readonly folding: number
  readonly expired: boolean
  /** Bytes. */
  readonly diskSize: number
  /** 16 random bytes as hex, the same as in the VM's record: tells a file left over or copied from elsewhere. */
  readonly trackingId: string
  /** CRC-32 of the page table (which holds the CRC of each page), or DATA_CRC_NOT_SET. */
  readonly dataCrc: number
}

export function cbtPageCount(diskSize: number): number {
  return Math.ceil(granuleCount(diskSize) / VERSIONS_PER_PAGE)
}

/** Bytes of the page table without its padding. */
export function cbtTableSize(diskSize: number): number {
  return cbtPageCount(diskSize) * TABLE_ENTRY_SIZE
}

/** Where a page starts, bytes. */
export function cbtPageOffset(diskSize: number, page: number): number {
  return CBT_HEADER_SIZE + Math.ceil(cbtTableSize(diskSize) / 4096) * 4096 + page * CBT_PAGE_SIZE
}

/** Bytes of the whole (sparse) file. */
export function cbtFileSize(diskSize: number): number {
  return cbtPageOffset(diskSize, cbtPageCount(diskSize))
}

export function encodeCbtHeader(header: CbtHeader): Buffer {
  const bytes = Buffer.alloc(CBT_HEADER_SIZE)
  MAGIC.copy(bytes, 0)
  bytes.writeUInt32LE(FORMAT_VERSION, 8)
  bytes.writeUInt32LE(header.expired ? FLAG_EXPIRED : 0, 12)
  bytes.writeUInt32LE(header.versionId, 16)
  bytes.writeUInt32LE(header.incId, 20)
  bytes.writeBigUInt64LE(checkpointId(header), 24)
  bytes.writeUInt32LE(GRANULARITY, 32)
  bytes.writeUInt32LE(header.baseInc, 36)
  bytes.writeBigUInt64LE(BigInt(granuleCount(header.diskSize)), 40)
  bytes.writeBigUInt64LE(BigInt(header.diskSize), 48)
  bytes.writeUInt32LE(header.folding, 56)
  bytes.writeUInt32LE(header.dataCrc, 60)
  bytes.write(header.trackingId, 64, 16, 'hex')
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CBT_HEADER_SIZE - 4)), CBT_HEADER_SIZE - 4)
  return bytes
}

/**
 * @throws CbtError CBT_FILE_DAMAGED, or CBT_FILE_UNSUPPORTED for a newer format.
 */
export function decodeCbtHeader(bytes: Uint8Array): CbtHeader {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const damaged = (why: string): CbtError => new CbtError('CBT_FILE_DAMAGED', `CBT file header: ${why}`)
  if (view.length < CBT_HEADER_SIZE) throw damaged('cut short')
  if (!view.subarray(0, 8).equals(MAGIC)) throw damaged('not a CBT file')
  if (view.readUInt32LE(CBT_HEADER_SIZE - 4) !== crc32(view.subarray(0, CBT_HEADER_SIZE - 4))) throw damaged('wrong checksum')
  if (view.readUInt32LE(8) !== FORMAT_VERSION) throw new CbtError('CBT_FILE_UNSUPPORTED', 'CBT file of another format version')
  const header: CbtHeader = {
    versionId: view.readUInt32LE(16),
    incId: view.readUInt32LE(20),
    baseInc: view.readUInt32LE(36),
    folding: view.readUInt32LE(56),
    expired: (view.readUInt32LE(12) & FLAG_EXPIRED) !== 0,
    diskSize: Number(view.readBigUInt64LE(48)),
    trackingId: view.toString('hex', 64, 80),
    dataCrc: view.readUInt32LE(60),
  }
  if (!isDiskSize(header.diskSize) || view.readUInt32LE(32) !== GRANULARITY) throw damaged('impossible size')
  if (Number(view.readBigUInt64LE(40)) !== granuleCount(header.diskSize)) throw damaged('count and size differ')
  if (view.readBigUInt64LE(24) !== checkpointId(header)) throw damaged('checkpoint id differs from its halves')
  if (header.folding !== 0 && header.folding !== header.incId + 1) throw damaged('impossible fold')
  if (header.baseInc === 0 || header.baseInc > header.incId + 1) throw damaged('impossible base')
  return header
}

/** What the page table keeps of a page; both 0 = page never written. */
export interface PageEntry {
  readonly crc: number
  /** The largest version number on the page: a query for newer ones need not read it. */
  readonly maxVersion: number
}

export function readPageEntry(table: Uint8Array, at: number): PageEntry {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  return { crc: view.getUint32(at, true), maxVersion: view.getUint32(at + 4, true) }
}

export function writePageEntry(table: Uint8Array, at: number, entry: PageEntry): void {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  view.setUint32(at, entry.crc, true)
  view.setUint32(at + 4, entry.maxVersion, true)
}

/** Is this page what its table entry says? */
export function pageMatches(page: Uint8Array, entry: PageEntry): boolean {
  return page.length === CBT_PAGE_SIZE && crc32(page) === entry.crc
}

/** The version numbers of a page, in place (`index` counts from the page's start). */
export function readVersion(page: DataView, index: number): number {
  return page.getUint32(index * 4, true)
}

/** Give granules `from <= index < to` of a page the version; numbers only grow, so doing it twice changes nothing. */
export function raiseVersions(page: DataView, from: number, to: number, version: number): void {
  for (let at = from * 4; at < to * 4; at += 4) if (page.getUint32(at, true) < version) page.setUint32(at, version, true)
}

/** The table entry of a page as it is now. */
export function entryOf(page: Uint8Array): PageEntry {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  let maxVersion = 0
  for (let at = 0; at < CBT_PAGE_SIZE; at += 4) maxVersion = Math.max(maxVersion, view.getUint32(at, true))
  return { crc: crc32(page), maxVersion }
}
