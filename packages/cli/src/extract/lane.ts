import { Worker } from 'node:worker_threads'
import { type Repository, RepositoryError, type StoreSettings } from '@varve/repository'
import { workerFile } from '@varve/runtime'
import { CliError } from '../errors.ts'
import type { StoreCounts } from './counted-store.ts'
import type { DiskGeometry, Piece, PieceResult } from './piece.ts'
import { PieceReader } from './piece-reader.ts'
import { openWriter } from './sparse-file.ts'

/** Something that extracts pieces of a disk into a file. */
export interface Lane {
  run(piece: Piece): Promise<PieceResult>
  /** What it has asked of its own store so far; nothing for a lane that shares the caller's. */
  readonly counts: Readonly<StoreCounts>
  close(): Promise<void>
}

/** What a thread is started with. */
export interface ThreadSettings {
  readonly repositoryUrl: string
  readonly storeSettings: StoreSettings
  readonly geometry: DiskGeometry
  readonly path: string
}

export interface ToThread {
  readonly id: number
  readonly piece: Piece
}

export type FromThread =
  | { readonly id: number; readonly result: PieceResult; readonly counts: StoreCounts }
  | {
      readonly id: number
      readonly error: { readonly source: 'repository' | 'cli' | 'other'; readonly code: string; readonly message: string }
    }

/** This thread. */
export function ownLane(repository: Repository, { geometry, path }: ThreadSettings, signal: AbortSignal): Lane {
  const file = openWriter(path)
  const reader = new PieceReader(repository, geometry, file.write)
  const running = new Set<Promise<PieceResult>>()
  return {
    counts: { gets: 0, bytes: 0 },
    run(piece) {
      const reading = reader.read(piece, signal)
      running.add(reading)
      reading.finally(() => running.delete(reading)).catch(() => {})
      return reading
    },
    async close() {
      // Nothing may be written to this descriptor any more: the next file that is opened gets its number.
      await Promise.allSettled(running)
      file.close()
    },
  }
}

/** A thread of its own, with its own connections. What it is asked after it died fails. */
export function threadLane(settings: ThreadSettings): Lane {
  const worker = new Worker(workerFile(import.meta.url, './extract-thread.js'), { workerData: settings, name: 'extract' })
  const waiting = new Map<number, { resolve(result: PieceResult): void; reject(error: unknown): void }>()
  let dead: Error | undefined
  let nextId = 1
  let counts: StoreCounts = { gets: 0, bytes: 0 }
  const die = (error: Error): void => {
    dead ??= error
    for (const { reject } of waiting.values()) reject(dead)
    waiting.clear()
  }
  worker.on('message', (message: FromThread) => {
    const call = waiting.get(message.id)
    waiting.delete(message.id)
    if ('error' in message) return call?.reject(thrown(message.error))
    counts = message.counts
    call?.resolve(message.result)
  })
  worker.on('error', die)
  worker.on('exit', code => die(new Error(`a thread ended with code ${code}`)))
  return {
    get counts() {
      return counts
    },
    run: piece =>
      new Promise((resolve, reject) => {
        if (dead !== undefined) return reject(dead)
        const id = nextId++
        waiting.set(id, { resolve, reject })
        // A copy of the hash: it is a view of the whole root, which would cross with it.
        const ref = { ...piece.ref, hash: Uint8Array.from(piece.ref.hash) }
        worker.postMessage({ id, piece: { ...piece, ref } } satisfies ToThread)
      }),
    close: async () => {
      await worker.terminate()
    },
  }
}

/** An error of a thread, as it was there. */
function thrown({ source, code, message }: Extract<FromThread, { error: unknown }>['error']): Error {
  if (source === 'repository') return new RepositoryError(code as RepositoryError['code'], message)
  return source === 'cli' ? new CliError(code as CliError['code'], message) : new Error(message)
}
