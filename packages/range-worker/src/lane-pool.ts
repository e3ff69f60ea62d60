import { Worker } from 'node:worker_threads'
import { RangeWorkerError } from './errors.ts'
import { type FromLane, LaneError, type LaneSettings, type LaneTask, type RangeProgress, type ToLane } from './lane-messages.ts'

/** A lane that does not let go of an aborted range, or does not end, within this time is ended by force. */
const GRACE_MS = 10_000

/** What is young in a lane is small and short-lived (bytes are outside of the heap); by default V8 lets it grow to 48 MB before it looks. */
const YOUNG_MB = 8

export interface LaneCall {
  readonly signal: AbortSignal
  /** Called twice a second; `steps` stays the same as long as nothing moves. */
  readonly onProgress: (progress: RangeProgress, steps: number) => void
}

interface Waiting<Result> {
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
  readonly onProgress: LaneCall['onProgress']
}

interface Lane<Result> {
  readonly worker: Worker
  busy: boolean
  readonly waiting: Map<number, Waiting<Result>>
}

/**
 * The lanes of a service, started as they are needed, at most `size`, and again after one died. Each does one range at a time;
 * the queue never gives the service more jobs than it has lanes.
 */
export class LanePool<Task extends LaneTask, Result> {
  readonly #file: URL
  readonly #settings: LaneSettings
  readonly #lanes = new Set<Lane<Result>>()
  #nextId = 1

  /** `file`: the built module of a thread, which calls `serveLane`. */
  constructor(file: URL, settings: LaneSettings) {
    this.#file = file
    this.#settings = settings
  }

  /** @throws LaneError with the code that the work gave, RangeWorkerError LANE_DIED */
  async run(task: Task, { signal, onProgress }: LaneCall): Promise<Result> {
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
      return await new Promise<Result>((resolve, reject) => {
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

  #start(): Lane<Result> {
    const worker = new Worker(this.#file, {
      workerData: this.#settings,
      name: 'lane',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    const lane: Lane<Result> = { worker, busy: false, waiting: new Map() }
    let cause: unknown
    worker.on('message', (message: FromLane<Result>) => receive(lane, message))
    worker.on('error', error => {
      cause = error
    })
    worker.on('exit', code => {
      this.#lanes.delete(lane)
      const error = new RangeWorkerError('LANE_DIED', `a lane ended with code ${code}`, {}, { cause })
      for (const { reject } of lane.waiting.values()) reject(error)
    })
    this.#lanes.add(lane)
    return lane
  }
}

function receive<Result>(lane: Lane<Result>, message: FromLane<Result>): void {
  const waiting = lane.waiting.get(message.id)
  if (message.type === 'progress') waiting?.onProgress(message.progress, message.steps)
  else if (message.type === 'done') waiting?.resolve(message.result)
  else waiting?.reject(new LaneError(message.error))
}

function post(lane: Pick<Lane<unknown>, 'worker'>, message: ToLane<LaneTask>): void {
  lane.worker.postMessage(message)
}

function end(lane: Pick<Lane<unknown>, 'worker'>): Promise<void> {
  return new Promise(resolve => {
    const force = setTimeout(() => void lane.worker.terminate(), GRACE_MS)
    lane.worker.once('exit', () => {
      clearTimeout(force)
      resolve()
    })
    post(lane, { type: 'close' })
  })
}
