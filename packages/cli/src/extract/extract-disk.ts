import type { Root } from '@varve/block-map'
import type { Repository } from '@varve/repository'
import { abortable } from '@varve/runtime/abortable'
import { CliError } from '../errors.ts'
import { formatBytes } from '../units.ts'
import type { StoreCounts } from './counted-store.ts'
import { type Lane, ownLane, type ThreadSettings, threadLane } from './lane.ts'
import { type DamagedRange, mergeDamage, type PieceResult } from './piece.ts'
import { PieceFeed, piecesOf } from './piece-feed.ts'

/** Pieces under way in each lane: while one writes, the gets of the next are on their way. */
const PIECES_PER_LANE = 2

export interface ExtractOptions {
  readonly repository: Repository
  readonly root: Root
  /** Of the file; also for threads, which open the repository themselves. */
  readonly thread: ThreadSettings
  readonly threads: number
  readonly onDamage: OnDamage
  readonly signal: AbortSignal
  /** Bytes of the disk that are done, damage included; at most `dataBytes(root)`. */
  readonly onProgress: (done: number) => void
}

export type OnDamage = 'fail' | 'continue'

export interface Extracted {
  readonly bytes: number
  readonly stored: number
  /** Packs that were read. */
  readonly packs: number
  readonly damage: readonly DamagedRange[]
  /** What threads asked of stores of their own. */
  readonly counts: StoreCounts
}

/** Bytes of the blocks that are not zero, at most: the last block of a disk may be short. */
export function dataBytes(root: Root): number {
  let blocks = 0
  for (const { storedBlocks } of root.pages) blocks += storedBlocks
  return Math.min(root.diskSize, blocks * root.blockSize)
}

/**
 * Write all blocks of a disk into a file, on several threads.
 *
 * @throws CliError DATA_DAMAGED, OUTPUT_FAILED; RepositoryError; the signal's reason
 */
export async function extractDisk({ repository, root, thread, threads, onDamage, signal, onProgress }: ExtractOptions): Promise<Extracted> {
  const stop = new AbortController()
  const any = AbortSignal.any([signal, stop.signal])
  let pieces = 0
  for (const ref of root.pages) pieces += piecesOf(ref, thread.geometry).length
  const feed = new PieceFeed(root.pages, thread.geometry)
  const tally = new Tally(onDamage)
  const lanes: Lane[] = [ownLane(repository, thread, any)]
  for (let n = 1; n < Math.min(threads, Math.ceil(pieces / PIECES_PER_LANE)); n++) lanes.push(threadLane(thread))
  const work = async (lane: Lane): Promise<void> => {
    for (;;) {
      any.throwIfAborted()
      const piece = feed.next(lane)
      if (piece === undefined) return
      // A thread that was asked for a piece is not told to stop: it is terminated.
      tally.add(await abortable(lane.run(piece), any))
      onProgress(tally.bytes)
    }
  }
  try {
    await Promise.all(lanes.flatMap(lane => Array.from({ length: PIECES_PER_LANE }, () => work(lane))))
  } finally {
    stop.abort()
    await Promise.all(lanes.map(lane => lane.close()))
  }
  const gets = lanes.reduce((sum, { counts }) => sum + counts.gets, 0)
  const bytes = lanes.reduce((sum, { counts }) => sum + counts.bytes, 0)
  return { ...tally.total(), counts: { gets, bytes } }
}

/** What came of all pieces. */
export class Tally {
  readonly #onDamage: OnDamage
  readonly #packs = new Set<string>()
  readonly #damage: DamagedRange[] = []
  bytes = 0
  stored = 0

  constructor(onDamage: OnDamage) {
    this.#onDamage = onDamage
  }

  /** @throws CliError DATA_DAMAGED with the first damage, unless it was to be left out */
  add({ bytes, stored, packs, damage }: PieceResult): void {
    this.bytes += bytes
    this.stored += stored
    for (const pack of packs) this.#packs.add(pack)
    const [first] = damage
    if (first !== undefined && this.#onDamage === 'fail') throw damageError(first)
    this.#damage.push(...damage)
  }

  total(): Extracted {
    return {
      bytes: this.bytes,
      stored: this.stored,
      packs: this.#packs.size,
      damage: mergeDamage(this.#damage),
      counts: { gets: 0, bytes: 0 },
    }
  }
}

function damageError(first: DamagedRange): CliError {
  const { offset, length, code, message } = first
  return new CliError('DATA_DAMAGED', `${formatBytes(length)} at ${offset} cannot be read back: ${code}: ${message}`, { ...first })
}
