import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { connectNbd } from '@varve/nbd'
import { formatHash, isZero, KeptBuffers, MemoryStore, PackWriter } from '@varve/repository'
import { openCompressor, randomObjectIds } from '@varve/repository/testing'

/** Bytes of a read, of a block, and of what a lane takes at a time. */
export const SPAN = 2 * 1024 * 1024
const BLOCK = 256 * 1024
export const PIECE = 16 * SPAN
const IN_FLIGHT = 5

/** A lane has a connection and takes the next piece; a thread of the pool is given spans in shared memory. */
export type ThreadData = { readonly port: number; readonly next: SharedArrayBuffer } | { readonly shared: SharedArrayBuffer }
/** null: that was all. */
export type ToThread = { readonly slot: number; readonly length: number } | null
export interface FromThread {
  readonly slot: number
}

/** Packs go nowhere: what the store takes is the same in both cases. */
class Nowhere extends MemoryStore {
  override async put(): Promise<void> {}
}

async function main(data: ThreadData): Promise<void> {
  const packs = new PackWriter(new Nowhere(), randomObjectIds(), openCompressor('zstd'), new KeptBuffers(2))
  const store = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; at += BLOCK) {
      const block = bytes.subarray(at, at + BLOCK)
      if (!isZero(block)) await packs.add(formatHash(block), block)
    }
  }
  if ('port' in data) await lane(data, store)
  else await member(data.shared, store)
  await packs.finish()
}

async function lane(
  { port, next }: { readonly port: number; readonly next: SharedArrayBuffer },
  store: (bytes: Uint8Array) => Promise<void>,
) {
  const disk = await connectNbd({ host: '127.0.0.1', port, exportName: '' }, { inFlight: IN_FLIGHT })
  const pieces = new Int32Array(next)
  let [at, end] = [0, 0]
  /** Of the piece that this lane is at, or of the next one that nobody has. */
  const span = (): number => {
    if (at >= end) {
      at = Atomics.add(pieces, 0, 1) * PIECE
      end = at + PIECE
    }
    at += SPAN
    return at - SPAN
  }
  const work = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafeSlow(SPAN)
    for (let offset = span(); offset < disk.size; offset = span())
      for (const { bytes } of await disk.read(offset, Math.min(SPAN, disk.size - offset), buffer))
        if (bytes !== undefined) await store(bytes)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, work))
  await disk.close()
}

function member(shared: SharedArrayBuffer, store: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    parentPort!.on('message', (message: ToThread) => {
      if (message === null) {
        parentPort!.close()
        resolve()
        return
      }
      const { slot, length } = message
      store(Buffer.from(shared, slot * SPAN, length)).then(() => parentPort!.postMessage({ slot } satisfies FromThread), reject)
    })
  })
}

if (!isMainThread) await main(workerData as ThreadData)
