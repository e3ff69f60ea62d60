import { createHash, hash } from 'node:crypto'
import { BlockMapError } from './errors.ts'
import { checkGeometry, pageCount } from './geometry.ts'
import { asBuffer } from './hex.ts'
import { PAGE_REF_LENGTH } from './page-ref.ts'
import { PageRefs } from './page-refs.ts'

const MAGIC = 0x54525656 // "VVRT"
const VERSION = 1
const HEADER_LENGTH = 128
const ID_AT = 64
const HASH_LENGTH = 32
const IMAGE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** The whole block map of one disk at one restore point: its pages that are not all zero, ascending. */
export interface Root {
  /** A UUID as a rule; letters, digits, `.`, `_`, `-`, at most 64. */
  readonly imageId: string
  /** Bytes. */
  readonly diskSize: number
  readonly blockSize: number
  readonly pages: PageRefs
}

/** Header 128 B | page references, 64 B each | SHA-256 of all that. DESIGN.md §7.2 has the table. */
export function encodeRoot(root: Root): Buffer {
  checkRoot(root)
  const refs = root.pages.bytes
  const out = Buffer.alloc(HEADER_LENGTH + refs.length + HASH_LENGTH)
  out.writeUInt32LE(MAGIC, 0)
  out.writeUInt16LE(VERSION, 4)
  out.writeUInt16LE(root.imageId.length, 6)
  out.writeUInt32LE(root.blockSize, 8)
  out.writeUInt32LE(root.pages.length, 12)
  out.writeBigUInt64LE(BigInt(root.diskSize), 16)
  out.set(merkleRoot(root), 32)
  out.write(root.imageId, ID_AT, 'latin1')
  out.set(refs, HEADER_LENGTH)
  const hashAt = out.length - HASH_LENGTH
  out.set(hash('sha256', out.subarray(0, hashAt), 'buffer'), hashAt)
  return out
}

/** The bytes are the root's from then on. @throws BlockMapError MAP_CORRUPT, MAP_VERSION_UNKNOWN */
export function decodeRoot(bytes: Uint8Array): Root {
  const input = asBuffer(bytes)
  const hashAt = input.length - HASH_LENGTH
  if (hashAt < HEADER_LENGTH) throw corrupt('it is cut')
  if (input.readUInt32LE(0) !== MAGIC) throw corrupt('the magic is wrong')
  if (!hash('sha256', input.subarray(0, hashAt), 'buffer').equals(input.subarray(hashAt))) throw corrupt('the SHA-256 does not match')
  const version = input.readUInt16LE(4)
  if (version !== VERSION) throw new BlockMapError('MAP_VERSION_UNKNOWN', `root version ${version} is not known`, { version })
  const idLength = input.readUInt16LE(6)
  if (input.readUInt32LE(12) * PAGE_REF_LENGTH !== hashAt - HEADER_LENGTH || idLength > 64)
    throw corrupt('its length does not fit its counts')
  if (hasBits(input.subarray(24, 32)) || hasBits(input.subarray(ID_AT + idLength, HEADER_LENGTH))) throw corrupt('reserved fields are set')
  const diskSize = input.readBigUInt64LE(16)
  if (diskSize > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt('the disk size is out of bounds')
  const root: Root = {
    imageId: input.toString('latin1', ID_AT, ID_AT + idLength),
    blockSize: input.readUInt32LE(8),
    diskSize: Number(diskSize),
    pages: PageRefs.own(input.subarray(HEADER_LENGTH, hashAt)),
  }
  checkRoot(root)
  if (!merkleRoot(root).equals(input.subarray(32, 64))) throw corrupt('its Merkle root does not match')
  return root
}

/**
 * SHA-256 over geometry and page hashes: equal exactly when the disks are equal, wherever their blocks are stored. 32 bytes.
 */
export function merkleRoot({ diskSize, blockSize, pages }: Root): Buffer {
  const sum = createHash('sha256').update('varve root 1\n')
  const head = Buffer.alloc(16)
  head.writeBigUInt64LE(BigInt(diskSize), 0)
  head.writeUInt32LE(blockSize, 8)
  head.writeUInt32LE(pages.length, 12)
  sum.update(head)
  const leaf = Buffer.alloc(4 + HASH_LENGTH)
  for (let i = 0; i < pages.length; i++) {
    leaf.writeUInt32LE(pages.pageIndexAt(i), 0)
    leaf.set(pages.hashAt(i), 4)
    sum.update(leaf)
  }
  return sum.digest()
}

/**
 * The pages of a new root: the parent's, replaced where there is a new one, without those that became all zero.
 *
 * @param fresh in any order
 * @throws BlockMapError PAGES_CONFLICT when `fresh` names a page twice.
 */
export function replacePages(parent: PageRefs, fresh: PageRefs): PageRefs {
  return PageRefs.pick(parent.length + fresh.length, replaced(parent, fresh))
}

function* replaced(parent: PageRefs, fresh: PageRefs): Generator<readonly [PageRefs, number]> {
  const ascending = Uint32Array.from({ length: fresh.length }, (_, i) => i).sort((a, b) => fresh.pageIndexAt(a) - fresh.pageIndexAt(b))
  let next = 0
  let previous = -1
  for (const i of ascending) {
    const pageIndex = fresh.pageIndexAt(i)
    if (pageIndex === previous) throw new BlockMapError('PAGES_CONFLICT', `page ${pageIndex} was written twice`)
    previous = pageIndex
    while (next < parent.length && parent.pageIndexAt(next) < pageIndex) yield [parent, next++]
    if (next < parent.length && parent.pageIndexAt(next) === pageIndex) next += 1
    if (fresh.storedBlocksAt(i) > 0) yield [fresh, i]
  }
  while (next < parent.length) yield [parent, next++]
}

/** Is this what a root may be? Used before writing and after reading. */
function checkRoot(root: Root): void {
  if (!IMAGE_ID.test(root.imageId)) throw corrupt('the image id is not valid')
  checkGeometry(root.diskSize, root.blockSize)
  const pages = pageCount(root.diskSize, root.blockSize)
  let previous = -1
  for (let i = 0; i < root.pages.length; i++) {
    const pageIndex = root.pages.pageIndexAt(i)
    if (pageIndex <= previous || pageIndex >= pages || root.pages.storedBlocksAt(i) === 0)
      throw corrupt('its pages are not in order, or past the disk')
    previous = pageIndex
  }
}

function hasBits(bytes: Uint8Array): boolean {
  return bytes.some(byte => byte !== 0)
}

function corrupt(why: string): BlockMapError {
  return new BlockMapError('MAP_CORRUPT', `the root of a block map is damaged: ${why}`)
}
