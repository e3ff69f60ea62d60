import { write } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import type { PageRef, Root } from '@varve/block-map'
import { blocksInPage } from '@varve/block-map'
import type { Repository } from '@varve/repository'
import { CliError } from '../errors.ts'
import { type Extracted, type OnDamage, Tally } from './extract-disk.ts'
import { type Piece, type PieceResult, pieceExtent } from './piece.ts'
import { PieceReader } from './piece-reader.ts'

/** A stream needs its bytes in order, and a repository gives them in its own: blocks wait in memory for those before them. */
const STREAM_BLOCKS = 64
/** Pieces fetched before their turn: with 256 KiB blocks, 48 MiB. */
const AHEAD = 3
const ZEROS = Buffer.alloc(1024 * 1024)

export interface StreamOptions {
  readonly repository: Repository
  readonly root: Root
  /** Descriptor to write to. */
  readonly fd: number
  readonly onDamage: OnDamage
  readonly signal: AbortSignal
  readonly onProgress: (done: number) => void
}

interface Fetched {
  readonly result: PieceResult
  readonly blocks: ReadonlyMap<number, Uint8Array>
}

/** Write a whole disk in order, zeros included. @throws CliError DATA_DAMAGED, OUTPUT_FAILED; RepositoryError; the signal's reason */
export async function extractStream({ repository, root, fd, onDamage, signal, onProgress }: StreamOptions): Promise<Extracted> {
  const stop = new AbortController()
  const any = AbortSignal.any([signal, stop.signal])
  const tally = new Tally(onDamage)
  let at = 0
  const zerosTo = async (end: number): Promise<void> => {
    for (; at < end; at += Math.min(ZEROS.length, end - at)) await writeAll(fd, ZEROS.subarray(0, Math.min(ZEROS.length, end - at)), any)
  }
  const fetch = async (piece: Piece): Promise<Fetched> => {
    const blocks = new Map<number, Uint8Array>()
    // A block is good only until the next one: those that wait are copies.
    const keep = (offset: number, bytes: Uint8Array): void => void blocks.set(offset, Buffer.from(bytes))
    const result = await new PieceReader(repository, root, keep).read(piece, any)
    return { result, blocks }
  }
  const window: { piece: Piece; fetched: Promise<Fetched> }[] = []
  const pieces = streamPieces(root)
  const fill = (): void => {
    while (window.length < AHEAD) {
      const { value: piece, done } = pieces.next()
      if (done === true) return
      const fetched = fetch(piece)
      fetched.catch(() => {})
      window.push({ piece, fetched })
    }
  }
  try {
    for (fill(); window.length > 0; fill()) {
      const { piece, fetched } = window.shift() as (typeof window)[number]
      const { result, blocks } = await fetched
      tally.add(result)
      const { offset, length } = pieceExtent(piece, root)
      for (const [start, bytes] of [...blocks].sort(([a], [b]) => a - b)) {
        await zerosTo(start)
        await writeAll(fd, bytes, any)
        at += bytes.length
      }
      await zerosTo(offset + length)
      onProgress(tally.bytes)
    }
    await zerosTo(root.diskSize)
  } finally {
    stop.abort()
  }
  return tally.total()
}

function* streamPieces({ pages, diskSize, blockSize }: Root): Generator<Piece, undefined> {
  for (const ref of pages) yield* streamPiecesOf(ref, blocksInPage(diskSize, blockSize, ref.pageIndex))
  return undefined
}

function* streamPiecesOf(ref: PageRef, blocks: number): Generator<Piece> {
  for (let first = 0; first < blocks; first += STREAM_BLOCKS) yield { ref, first, count: Math.min(STREAM_BLOCKS, blocks - first) }
}

/** A pipe that is full says EAGAIN when its other end made it non-blocking. */
async function writeAll(fd: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    signal.throwIfAborted()
    try {
      done += await writeSome(fd, bytes.subarray(done))
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN')
        throw new CliError('OUTPUT_FAILED', `standard output: ${(cause as Error).message}`, {}, { cause })
      await setTimeout(2)
    }
  }
}

function writeSome(fd: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, (error, written) => (error === null ? resolve(written) : reject(error)))
  })
}
