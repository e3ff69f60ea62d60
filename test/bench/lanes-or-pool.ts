import { Worker } from 'node:worker_threads'
import { connectNbd } from '@varve/nbd'
import { type FromThread, PIECE, SPAN, type ThreadData, type ToThread } from './lanes-or-pool-thread.ts'

/**
 * Two ways to read an export, hash, compress and pack it on two threads. `lanes-or-pool.js lanes|pool PORT`
 *
 * - lanes: each thread has a connection of its own and takes piece after piece of the disk; the bytes stay where they came in.
 * - pool: the main thread has the connection, reads into shared memory and hands spans to whoever is idle.
 */
const [, , way, port] = process.argv
const THREADS = 2
/** Spans in memory, read or worked on: as many as two lanes have under way. */
const SLOTS = 10

function start(data: ThreadData): Worker {
  return new Worker(new URL('./lanes-or-pool-thread.js', import.meta.url), { workerData: data })
}

async function lanes(): Promise<void> {
  const next = new SharedArrayBuffer(4)
  const threads = Array.from({ length: THREADS }, () => start({ port: Number(port), next }))
  await Promise.all(threads.map(thread => new Promise((resolve, reject) => thread.once('exit', resolve).once('error', reject))))
}

async function pool(): Promise<void> {
  const disk = await connectNbd({ host: '127.0.0.1', port: Number(port), exportName: '' }, { inFlight: SLOTS })
  const shared = new SharedArrayBuffer(SLOTS * SPAN)
  const threads = Array.from({ length: THREADS }, () => ({ worker: start({ shared }), spans: 0 }))
  const waiting = new Map<number, () => void>()
  for (const thread of threads)
    thread.worker.on('message', ({ slot }: FromThread) => {
      thread.spans -= 1
      waiting.get(slot)!()
    })
  let next = 0
  const work = async (slot: number): Promise<void> => {
    const buffer = Buffer.from(shared, slot * SPAN, SPAN)
    for (let at = next; at < disk.size; at = next) {
      next += SPAN
      const length = Math.min(SPAN, disk.size - at)
      const pieces = await disk.read(at, length, buffer.subarray(0, length))
      if (pieces.every(({ bytes }) => bytes === undefined)) continue
      const idlest = threads.reduce((a, b) => (b.spans < a.spans ? b : a))
      idlest.spans += 1
      await new Promise<void>(resolve => {
        waiting.set(slot, resolve)
        idlest.worker.postMessage({ slot, length } satisfies ToThread)
      })
    }
  }
  await Promise.all(Array.from({ length: SLOTS }, (_, slot) => work(slot)))
  await disk.close()
  for (const { worker } of threads) worker.postMessage(null satisfies ToThread)
}

if (PIECE % SPAN !== 0) throw new RangeError('a piece has whole spans')
await (way === 'pool' ? pool() : lanes())
