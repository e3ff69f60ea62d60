import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { errorReport, VarveError } from '@varve/errors'
import type { NbdClient } from '@varve/nbd'
import { openRepository, openStore, type Repository, type Store } from '@varve/repository'
import type { FromLane, LaneFailure, LaneSettings, LaneTask, RangeProgress, ToLane } from './lane-messages.ts'
import { OpenExports } from './open-exports.ts'
import type { Throttle } from './throttle.ts'

/** Progress goes out this often, so that a cancelled run is noticed even while nothing moves. */
const PROGRESS_MS = 500
const LINGER_MS = 1000

/** What the work on one range is given. */
export interface LaneDeps {
  /** The open disk of the task. */
  readonly disk: NbdClient
  /** To be asked before bytes travel from or to the disk. */
  readonly throttle: Throttle
  readonly repository: Repository
  /** Gets of blocks at the same time; undefined: the repository's own number. */
  readonly getsInFlight: number | undefined
  readonly signal: AbortSignal
  /** To be called after each step, also one that moves no bytes: a range without steps is given up after minutes. */
  readonly onProgress: (progress: RangeProgress) => void
}

export type LaneWork<Task extends LaneTask, Result> = (task: Task, deps: LaneDeps) => Promise<Result>

/**
 * Be a lane: one thread that works on one range at a time, with its own NBD connection and its own connection to the store, so that the
 * bytes of a disk never cross threads. Ends when told to, or when its service is gone. The whole of a lane's module is
 *
 *     serveLane<CopyTask, RangeResult>((task, deps) => copyRange(task, deps))
 */
export function serveLane<Task extends LaneTask, Result>(work: LaneWork<Task, Result>): void {
  const lane = new ServedLane(work, parentPort as MessagePort, workerData as LaneSettings)
  lane.listen()
}

class ServedLane<Task extends LaneTask, Result> {
  readonly #work: LaneWork<Task, Result>
  readonly #port: MessagePort
  readonly #settings: LaneSettings
  readonly #exports = new OpenExports()
  readonly #running = new Map<number, AbortController>()
  #opened: { readonly store: Store; readonly repository: Repository } | undefined

  constructor(work: LaneWork<Task, Result>, port: MessagePort, settings: LaneSettings) {
    this.#work = work
    this.#port = port
    this.#settings = settings
  }

  listen(): void {
    this.#port.on('message', (message: ToLane<Task>) => {
      if (message.type === 'run') void this.#run(message.id, message.task)
      else if (message.type === 'abort') this.#running.get(message.id)?.abort(new Error('the range was given up'))
      else void this.#close()
    })
  }

  async #run(id: number, task: Task): Promise<void> {
    const abort = new AbortController()
    this.#running.set(id, abort)
    const { signal } = abort
    let progress: RangeProgress = { read: 0, written: 0 }
    let steps = 0
    const ticking = setInterval(() => this.#send({ type: 'progress', id, progress, steps }), PROGRESS_MS)
    const onProgress = ({ read, written }: RangeProgress): void => {
      progress = { read, written }
      steps++
    }
    try {
      const repository = await this.#repository()
      const result = await this.#exports.use(task.disk, signal, (disk, throttle) => {
        throttle.limit(task.bytesPerSecond)
        return this.#work(task, { disk, throttle, repository, getsInFlight: this.#settings.getsInFlight, signal, onProgress })
      })
      this.#send({ type: 'done', id, result })
    } catch (error) {
      this.#send({ type: 'failed', id, error: failureOf(error) })
    } finally {
      clearInterval(ticking)
      this.#running.delete(id)
    }
  }

  /** Opened at the first range: by then the repository exists. */
  async #repository(): Promise<Repository> {
    if (this.#opened === undefined) {
      const store = await openStore(this.#settings.repositoryUrl, this.#settings.storeSettings)
      try {
        this.#opened = { store, repository: await openRepository(store, { zstdLevel: this.#settings.zstdLevel }) }
      } catch (error) {
        await store.close()
        throw error
      }
    }
    return this.#opened.repository
  }

  #send(message: FromLane<Result>): void {
    this.#port.postMessage(message)
  }

  async #close(): Promise<void> {
    for (const abort of this.#running.values()) abort.abort(new Error('the lane is closed'))
    await this.#exports.close()
    await this.#opened?.store.close()
    this.#port.close()
    // Should a connection of the store linger, the thread ends all the same.
    setTimeout(() => process.exit(), LINGER_MS).unref()
  }
}

function failureOf(error: unknown): LaneFailure {
  // Only plain values of the context cross.
  const context = error instanceof VarveError ? (JSON.parse(JSON.stringify(error.context)) as Record<string, unknown>) : {}
  return { ...errorReport(error), context }
}
