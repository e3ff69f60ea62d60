import { blockRuns, type Extent } from '@varve/cbt'
import type { NbdClient, ReadPiece } from '@varve/nbd'
import type { Throttle } from '@varve/range-worker'
import { KeptBuffers } from '@varve/repository'
import { splitByAllocation } from './allocation.ts'
import { cutIntoSpans, type DiskGeometry } from './block-spans.ts'

/** Bytes of one read. One to four MiB keeps the wire busy without holding much. */
const SPAN_BYTES = 2 * 1024 * 1024
/** Reads under way at the same time: 8 MiB in memory, and still 400 MB/s where an answer takes 20 ms. */
const DEPTH = 4

/** Whole blocks, with what was read of them; without pieces they are known to be zero. */
export interface Span extends Extent {
  readonly pieces: readonly ReadPiece[] | undefined
}

/** For the `buffers` of `readAhead`: as many as one of them has under way. */
export function spanBuffers(): KeptBuffers {
  return new KeptBuffers(DEPTH)
}

/** How reads are paced, until when, and where the time goes, ms. */
export interface Pace {
  readonly throttle: Pick<Throttle, 'admit'>
  readonly signal: AbortSignal
  readonly waited: { source: number; throttle: number }
}

/**
 * Read the blocks that the extents touch, in order, several reads under way. A read that the limit of the connection holds back counts as `throttle`
 * until it is sent, and as `source` from then on.
 *
 * The bytes of a span are good until the next one is asked for: then their buffer is read into again, or kept in `buffers` for the next
 * range. New buffers for each read cost three times the processor time and leave the collector hundreds of MiB behind.
 */
export async function* readAhead(
  extents: readonly Extent[],
  geometry: DiskGeometry,
  source: Pick<NbdClient, 'read' | 'blockStatus' | 'blockStatusAvailable'>,
  { throttle, signal, waited }: Pace,
  buffers = spanBuffers(),
): AsyncGenerator<Span> {
  const window: {
    readonly span: Extent
    readonly buffer: Buffer | undefined
    readonly held: Promise<void> | undefined
    readonly reading: Promise<readonly ReadPiece[]> | undefined
  }[] = []
  const spanBytes = Math.max(SPAN_BYTES, geometry.blockSize)
  const wait = async <T>(promise: Promise<T>, what: keyof Pace['waited']): Promise<T> => {
    const started = performance.now()
    try {
      return await promise
    } finally {
      waited[what] += performance.now() - started
    }
  }
  async function* oldest(): AsyncGenerator<Span> {
    const { span, buffer, held, reading } = window.shift()!
    if (held !== undefined) await wait(held, 'throttle')
    yield { ...span, pieces: reading && (await wait(reading, 'source')) }
    // Not reached after a failure, or when the iteration was left: what is under way may still be written to.
    if (buffer !== undefined) buffers.giveBack(buffer)
  }
  for (const run of blockRuns(extents, geometry)) {
    for await (const part of splitByAllocation(run, source, geometry)) {
      for (const span of part.zero ? [part] : cutIntoSpans(part, geometry.blockSize, SPAN_BYTES)) {
        const buffer = part.zero ? undefined : buffers.take(spanBytes)
        const held = buffer && throttle.admit(span.length, signal)
        const read = () => buffer && source.read(span.offset, span.length, buffer.subarray(0, span.length))
        const reading = held === undefined ? read() : held.then(() => read()!)
        // Its failure is seen when its turn comes; until then it must not count as unhandled.
        reading?.catch(() => {})
        window.push({ span: { offset: span.offset, length: span.length }, buffer, held, reading })
        if (window.length === DEPTH) yield* oldest()
      }
    }
  }
  while (window.length > 0) yield* oldest()
}

/**
 * The bytes from `offset` on, out of the pieces of a read; undefined when all of it is a hole. A view where one piece holds them,
 * else a copy in `joined`, which has room for it.
 */
export function bytesOf(
  pieces: readonly ReadPiece[],
  offset: number,
  length: number,
  joined: Buffer = Buffer.allocUnsafe(length),
): Uint8Array | undefined {
  const end = offset + length
  const touching = pieces.filter(piece => piece.bytes !== undefined && piece.offset < end && piece.offset + piece.length > offset)
  const [first] = touching
  if (first === undefined) return undefined
  if (first.offset <= offset && first.offset + first.length >= end) {
    return first.bytes!.subarray(offset - first.offset, end - first.offset)
  }
  joined.fill(0, 0, length)
  for (const piece of touching) {
    const from = Math.max(offset, piece.offset)
    const to = Math.min(end, piece.offset + piece.length)
    joined.set(piece.bytes!.subarray(from - piece.offset, to - piece.offset), from - offset)
  }
  return joined.subarray(0, length)
}
