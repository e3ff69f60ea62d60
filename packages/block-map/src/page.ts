import { createHash } from 'node:crypto'
import { BlockMapError } from './errors.ts'
import { PAGE_BLOCKS } from './geometry.ts'
import type { BlockEntry, BlockLocation, Codec } from './location.ts'
import type { PageArena } from './page-arena.ts'
import { decodePage, encodedBound, encodePage, HASH_LENGTH, newColumns, type PageColumns } from './page-codec.ts'

const PACK_ID = /^[0-9a-f]{32}$/
const U32 = 2 ** 32

/**
 * The entries of up to 1024 consecutive blocks of one disk. A block is zero (nothing is stored) or stored, with its hash
 * and where its bytes are. `i` is always the block's index inside the page. Not safe to share: copy with `clone`.
 */
export class Page {
  readonly #columns: PageColumns
  readonly #packs: string[]
  readonly #packIndex = new Map<string, number>()
  #storedBlocks = 0

  private constructor(columns: PageColumns) {
    this.#packs = [...columns.packs]
    this.#columns = { ...columns, packs: this.#packs }
    for (const [index, id] of this.#packs.entries()) this.#packIndex.set(id, index)
    for (const stored of columns.stored) this.#storedBlocks += stored
  }

  /** A page of which every block is zero. `arena`: where it lies. */
  static empty(pageIndex: number, blockCount: number, arena?: PageArena): Page {
    if (!Number.isInteger(pageIndex) || pageIndex < 0 || pageIndex >= U32 || blockCount < 1 || blockCount > PAGE_BLOCKS) {
      throw new BlockMapError('GEOMETRY_INVALID', `page ${pageIndex} cannot have ${blockCount} blocks`)
    }
    return new Page(newColumns(pageIndex, blockCount, [], arena))
  }

  /** `arena`: where it lies. @throws BlockMapError MAP_CORRUPT, MAP_VERSION_UNKNOWN */
  static decode(bytes: Uint8Array, arena?: PageArena): Page {
    return new Page(decodePage(bytes, arena))
  }

  encode(): Buffer {
    const bytes = Buffer.allocUnsafe(this.encodedBound)
    return bytes.subarray(0, this.encodeInto(bytes))
  }

  /** The most bytes that it may take encoded. */
  get encodedBound(): number {
    return encodedBound(this.blockCount, this.#storedBlocks)
  }

  /** Encode to the beginning of `target`, which has room for `encodedBound`. @returns bytes written */
  encodeInto(target: Buffer): number {
    return encodePage(this.#columns, target)
  }

  clone(): Page {
    const { pageIndex, blockCount, stored, hashes, pack, offset, length, codec } = this.#columns
    const columns = newColumns(pageIndex, blockCount, this.#packs)
    columns.stored.set(stored)
    columns.hashes.set(hashes)
    columns.pack.set(pack)
    columns.offset.set(offset)
    columns.length.set(length)
    columns.codec.set(codec)
    return new Page(columns)
  }

  get pageIndex(): number {
    return this.#columns.pageIndex
  }

  get blockCount(): number {
    return this.#columns.blockCount
  }

  /** How many blocks are not zero. */
  get storedBlocks(): number {
    return this.#storedBlocks
  }

  isZero(i: number): boolean {
    return this.#columns.stored[i] !== 1
  }

  setZero(i: number): void {
    this.#storedBlocks -= this.#columns.stored[this.#check(i)]!
    this.#columns.stored[i] = 0
  }

  /** `hash` is 32 bytes; it is copied. */
  setStored(i: number, hash: Uint8Array, location: BlockLocation): void {
    const { packId, offset, storedLength, codec } = location
    if (
      hash.length !== HASH_LENGTH ||
      !PACK_ID.test(packId) ||
      !(offset >= 0 && offset < U32) ||
      !(storedLength > 0 && storedLength < U32)
    ) {
      throw new BlockMapError('MAP_CORRUPT', `block ${i} of page ${this.pageIndex} was given a hash or location that cannot be`)
    }
    this.#set(i, hash, packId, offset, storedLength, codec)
  }

  /** Take over the entry of the same block from another version of this page; zero stays zero. */
  copyEntry(from: Page, i: number): void {
    const { stored, hashes, pack, offset, length, codec } = from.#columns
    if (stored[i] !== 1) this.setZero(i)
    else {
      const hash = hashes.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH)
      this.#set(i, hash, from.#packs[pack[i]!]!, offset[i]!, length[i]!, codec[i] as Codec)
    }
  }

  /** Is the block stored with this hash? False for a zero block. */
  hashEquals(i: number, hash: Uint8Array): boolean {
    if (this.isZero(i)) return false
    const { hashes } = this.#columns
    const start = i * HASH_LENGTH
    for (let at = 0; at < HASH_LENGTH; at++) if (hashes[start + at] !== hash[at]) return false
    return hash.length === HASH_LENGTH
  }

  /** The entry of a stored block, undefined for a zero one. `hash` is a view into the page. */
  entry(i: number): BlockEntry | undefined {
    if (this.isZero(i)) return undefined
    const { hashes, pack, offset, length, codec } = this.#columns
    return {
      hash: hashes.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH),
      packId: this.#packs[pack[i]!]!,
      offset: offset[i]!,
      storedLength: length[i]!,
      codec: codec[i] as Codec,
    }
  }

  /** SHA-256 over what the blocks contain (hashes and zero marks), not over where they are. 32 bytes. */
  hash(): Buffer {
    const { blockCount, stored, hashes } = this.#columns
    const head = Buffer.alloc(4)
    head.writeUInt32LE(blockCount)
    const sum = createHash('sha256').update('varve page 1\n').update(head).update(stored)
    // Stored hashes follow each other in memory: feed them run by run.
    for (let from = 0; from < blockCount; from++) {
      if (stored[from] === 0) continue
      let to = from + 1
      while (to < blockCount && stored[to] === 1) to++
      sum.update(hashes.subarray(from * HASH_LENGTH, to * HASH_LENGTH))
      from = to
    }
    return sum.digest()
  }

  #set(i: number, hash: Uint8Array, packId: string, offset: number, length: number, codec: Codec): void {
    const columns = this.#columns
    this.#storedBlocks += 1 - columns.stored[this.#check(i)]!
    columns.stored[i] = 1
    columns.hashes.set(hash, i * HASH_LENGTH)
    columns.pack[i] = this.#packNumber(packId)
    columns.offset[i] = offset
    columns.length[i] = length
    columns.codec[i] = codec
  }

  #packNumber(packId: string): number {
    const known = this.#packIndex.get(packId)
    if (known !== undefined) return known
    // A page rewritten for ever would gather packs that nothing refers to; 65,536 of them is the limit of the column.
    if (this.#packs.length === 0xffff) this.#dropUnusedPacks()
    const index = this.#packs.push(packId) - 1
    this.#packIndex.set(packId, index)
    return index
  }

  #dropUnusedPacks(): void {
    const { stored, pack, blockCount } = this.#columns
    const old = [...this.#packs]
    this.#packs.length = 0
    this.#packIndex.clear()
    for (let i = 0; i < blockCount; i++) if (stored[i] === 1) pack[i] = this.#packNumber(old[pack[i]!]!)
  }

  #check(i: number): number {
    if (!(i >= 0 && i < this.blockCount)) throw new BlockMapError('GEOMETRY_INVALID', `page ${this.pageIndex} has no block ${i}`)
    return i
  }
}
