import type { NbdClient } from '@varve/nbd'
import { PIECE, type PieceKind, pieceBytes } from './guest-data.ts'

const ZEROES = Buffer.alloc(PIECE)

/** One write of a piece; `sequence` orders all writes of the guest over all its disks. */
interface Write {
  readonly sequence: number
  readonly kind: PieceKind
  readonly seed: string
}

/**
 * A guest's disk, written through the platform's live export, that remembers what it wrote: for each piece the list of writes. So
 * the demo can tell which moment a restored disk shows, and whether every byte of it is right.
 */
export class GuestDisk {
  readonly id: string
  readonly size: number
  readonly #client: NbdClient
  readonly #writes = new Map<number, Write[]>()

  constructor(id: string, client: NbdClient) {
    this.id = id
    this.size = client.size
    this.#client = client
  }

  /** Pieces that were ever written, ascending. */
  get written(): number[] {
    return [...this.#writes.keys()].sort((a, b) => a - b)
  }

  get pieces(): number {
    return this.size / PIECE
  }

  async write(piece: number, kind: PieceKind, sequence: number): Promise<void> {
    const seed = `${this.id}/${piece}/${sequence}`
    // Recorded first: a write that was cut off may or may not be on the disk, and both are right.
    const history = this.#writes.get(piece) ?? []
    history.push({ sequence, kind, seed })
    this.#writes.set(piece, history)
    await this.#client.write(piece * PIECE, pieceBytes(kind, seed))
  }

  async flush(): Promise<void> {
    await this.#client.flush()
  }

  /**
   * Which moments does this content of a piece fit? A half-open interval of sequence numbers `[from, to)`: the disk had exactly these bytes
   * after write `from` and before write `to`. Null when they are the bytes of no moment at all.
   */
  moments(piece: number, bytes: Uint8Array): { from: number; to: number } | null {
    const history = this.#writes.get(piece) ?? []
    for (let i = history.length - 1; i >= 0; i -= 1) {
      const { kind, seed, sequence } = history[i]!
      if (pieceBytes(kind, seed).equals(bytes)) return { from: sequence, to: history[i + 1]?.sequence ?? Number.POSITIVE_INFINITY }
    }
    return ZEROES.equals(bytes) ? { from: 0, to: history[0]?.sequence ?? Number.POSITIVE_INFINITY } : null
  }
}
