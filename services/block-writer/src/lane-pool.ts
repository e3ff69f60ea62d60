import { Worker } from 'node:worker_threads'
import type { RangeResult } from '@varve/catalog-client'
import { BlockWriterError } from './errors.ts'
import { type FromLane, LaneError, type LaneSettings, type LaneTask, type ToLane } from './lane-messages.ts'
import type { WriteProgress } from './restore-range.ts'

/** A lane that does not let go of an aborted range, or does not end, within this time is ended by force. */
const GRACE_MS = 10_000

export interface LaneCall {
  readonly signal: AbortSignal
  readonly onProgress: (progress: WriteProgress) => void
}

interface Waiting {
  readonly resolve: (result: RangeResult) => void
  readonly reject: (error: Error) => void
  readonly onProgress: LaneCall['onProgress']
}

interface Lane {
  readonly worker: Worker
  busy: boolean
  readonly waiting: Map<number, Waiting>
}

/**
 * The lanes of a service, started as they are needed, at most `size`, and again after one died. Each does one range at a time;
 * the queue never gives the service more jobs than it has lanes.
 */
export class LanePool {
  readonly #file: URL
  readonly #settings: LaneSettings
  readonly #lanes = new Set<Lane>()
  #nextId = 1

  constructor(file: URL, settings: LaneSettings) {
    this.#file = file
    this.#settings = settings
  }

  /** @throws LaneError with the code that the writing gave, BlockWriterError LANE_DIED */
  async run(task: LaneTask, { signal, onProgress }: LaneCall): Promise<RangeResult> {
    signal.throwIfAborted()
    const lane = [...this.#lanes].find(candidate => !candidate.busy) ?? this.#start()
    lane.busy = true
    const id = this.#nextId++
    let force: NodeJS.Timeout | undefined
    const abort = (): void => {
      post(lane, { type: 'abort', id })
      force = setTimeout(() => void lane.worker.terminate(), GRACE_MS)
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await new Promise<RangeResult>((resolve, reject) => {
        lane.waiting.set(id, { resolve, reject, onProgress })
        post(lane, { type: 'run', id, task })
      })
    } finally {
      clearTimeout(force)
      signal.removeEventListener('abort', abort)
      lane.waiting.delete(id)
      lane.busy = false
    }
  }

  /** End all lanes; ranges under way fail. */
  async close(): Promise<void> {
    await Promise.all([...this.#lanes].map(end))
  }

  #start(): Lane {
    const worker = new Worker(this.#file, { workerData: this.#settings, name: 'lane' })
    const lane: Lane = { worker, busy: false, waiting: new Map() }
    let cause: unknown
    worker.on('message', (message: FromLane) => receive(lane, message))
    worker.on('error', error => {
      cause = error
    })
    worker.on('exit', code => {
      this.#lanes.delete(lane)
      const error = new BlockWriterError('LANE_DIED', `a lane ended with code ${code}`, {}, { cause })
      for (const { reject } of lane.waiting.values()) reject(error)
    })
    this.#lanes.add(lane)
    return lane
  }
}

function receive(lane: Lane, message: FromLane): void {
  const waiting = lane.waiting.get(message.id)
  if (message.type === 'progress') waiting?.onProgress(message.progress)
  else if (message.type === 'done') waiting?.resolve(message.result)
  else waiting?.reject(new LaneError(message.error))
}

function post(lane: Lane, message: ToLane): void {
  lane.worker.postMessage(message)
}

function end(lane: Lane): Promise<void> {
  return new Promise(resolve => {
    const force = setTimeout(() => void lane.worker.terminate(), GRACE_MS)
    lane.worker.once('exit', () => {
      clearTimeout(force)
      resolve()
    })
    post(lane, { type: 'close' })
  })
}
