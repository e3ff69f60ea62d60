import type { SnapshotRecord } from '../datastore.ts'

/** The unit of the crash test's writes, bytes. */
export const SECTOR = 4096

/** One guest write: fill a sector with a value that no other write has; 0 = trim. */
interface Op {
  readonly disk: string
  readonly sector: number
  readonly value: number
}

/** Sectors of each disk, as the value each is filled with. */
export type Contents = Map<string, Uint32Array>

export interface KnownSnapshot {
  readonly record: SnapshotRecord
  readonly contents: Contents
}

/** What a snapshot may hold: for each writer all its writes up to some point between these two, and the state at the first. */
export interface Bounds {
  readonly base: Contents
  readonly low: readonly number[]
  high: number[]
}

/**
 * The record of acknowledged writes. Each writer has sectors of its own and one write in flight, so what any instant can
 * look like is: all its writes up to some one, none after.
 */
export class CrashModel {
  readonly contents: Contents
  /** All writes sent, in order, by writer; all but the last one are acknowledged. */
  readonly #ops: Op[][]
  readonly #acked: number[]
  #values = 0

  constructor(disks: Readonly<Record<string, number>>, writers: number) {
    this.contents = new Map(Object.entries(disks).map(([id, size]) => [id, new Uint32Array(size / SECTOR)]))
    this.#ops = Array.from({ length: writers }, () => [])
    this.#acked = new Array<number>(writers).fill(0)
  }

  /** The next write of a writer, noted before it is sent. */
  send(writer: number, disk: string, sector: number, trim: boolean): Op {
    const op = { disk, sector, value: trim ? 0 : ++this.#values }
    this.#ops[writer]!.push(op)
    return op
  }

  acknowledged(writer: number): void {
    const op = this.#ops[writer]![this.#acked[writer]!]!
    this.contents.get(op.disk)![op.sector] = op.value
    this.#acked[writer]! += 1
  }

  /** The bounds of a snapshot asked for now; call `close` on them when it is answered (or the process died). */
  bounds(): Bounds {
    return { base: copy(this.contents), low: [...this.#acked], high: [] }
  }

  close(bounds: Bounds): void {
    bounds.high = this.#ops.map(ops => ops.length)
  }

  /** After a crash: the live disks hold every acknowledged write, and the one in flight of each writer or not. Then forget which. */
  settle(live: Contents): string | undefined {
    for (const [writer, ops] of this.#ops.entries()) {
      const inFlight = ops.slice(this.#acked[writer]!)
      for (const op of inFlight) {
        if (live.get(op.disk)![op.sector] === op.value) this.acknowledged(writer)
        else ops.pop()
      }
    }
    return difference(this.contents, live)
  }

  /** Is this what the disks looked like at one instant within the bounds? The reason why not, else undefined. */
  wrong(bounds: Bounds, seen: Contents): string | undefined {
    const state = copy(bounds.base)
    for (const [writer, ops] of this.#ops.entries()) {
      const candidates = ops.slice(bounds.low[writer]!, bounds.high[writer]!)
      const fits = (): boolean => candidates.every(({ disk, sector }) => state.get(disk)![sector] === seen.get(disk)![sector])
      for (const op of candidates) {
        if (fits()) break
        state.get(op.disk)![op.sector] = op.value
      }
    }
    return difference(state, seen)
  }
}

/** Granules in which two contents of a disk differ. */
export function differingGranules(a: Uint32Array, b: Uint32Array): Set<number> {
  const granules = new Set<number>()
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) granules.add(Math.floor((i * SECTOR) / 65536))
  return granules
}

/** Bytes of a disk as the value of each sector; a sector that is not of one value is -1 as unsigned. */
export function decode(bytes: Buffer): Uint32Array {
  return Uint32Array.from({ length: bytes.length / SECTOR }, (_, i) => {
    const sector = bytes.subarray(i * SECTOR, (i + 1) * SECTOR)
    const value = sector.readUInt32LE(0)
    return sector.equals(fill(value)) ? value : 0xffff_ffff
  })
}

/** A sector filled with a value. */
export function fill(value: number): Buffer {
  const word = Buffer.alloc(4)
  word.writeUInt32LE(value)
  return Buffer.alloc(SECTOR, word)
}

function copy(contents: Contents): Contents {
  return new Map([...contents].map(([id, sectors]) => [id, sectors.slice()]))
}

function difference(expected: Contents, seen: Contents): string | undefined {
  for (const [disk, sectors] of expected) {
    const other = seen.get(disk)!
    for (let i = 0; i < sectors.length; i++) {
      if (sectors[i] !== other[i]) return `${disk} sector ${i}: expected value ${sectors[i]}, found ${other[i]}`
    }
  }
  return undefined
}
