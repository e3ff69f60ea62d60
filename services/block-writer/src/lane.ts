import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { errorReport, VarveError } from '@varve/errors'
import { openRepository, openStore, type Repository, type Store } from '@varve/repository'
import type { FromLane, LaneFailure, LaneSettings, LaneTask, ToLane } from './lane-messages.ts'
import { OpenTargets } from './open-targets.ts'
import { restoreRange, type WriteProgress } from './restore-range.ts'

/**
 * A lane: one thread that writes one range at a time, from its own connection to the store to its own NBD connection, so that the
 * bytes of a disk never cross threads. Ends when told to, or when its service is gone.
 */

/** Progress goes out this often, so that a cancelled run is noticed even while nothing moves. */
const PROGRESS_MS = 500
const LINGER_MS = 1000

const port = parentPort as MessagePort
const settings = workerData as LaneSettings
const targets = new OpenTargets()
const running = new Map<number, AbortController>()
let opened: { readonly store: Store; readonly repository: Repository } | undefined

port.on('message', (message: ToLane) => {
  if (message.type === 'run') void run(message.id, message.task)
  else if (message.type === 'abort') running.get(message.id)?.abort(new Error('the range was given up'))
  else void close()
})

async function run(id: number, task: LaneTask): Promise<void> {
  const abort = new AbortController()
  running.set(id, abort)
  const { signal } = abort
  let progress: WriteProgress = { read: 0, written: 0 }
  const ticking = setInterval(() => send({ type: 'progress', id, progress }), PROGRESS_MS)
  const onProgress = (now: WriteProgress): void => {
    progress = now
  }
  try {
    const repository = await theRepository()
    const result = await targets.use(task.target, signal, target => restoreRange(task, { target, repository, signal, onProgress }))
    send({ type: 'done', id, result })
  } catch (error) {
    send({ type: 'failed', id, error: failureOf(error) })
  } finally {
    clearInterval(ticking)
    running.delete(id)
  }
}

/** Opened at the first range: by then the repository exists. */
async function theRepository(): Promise<Repository> {
  if (opened === undefined) {
    const store = await openStore(settings.repositoryUrl, settings.storeSettings)
    try {
      opened = { store, repository: await openRepository(store) }
    } catch (error) {
      await store.close()
      throw error
    }
  }
  return opened.repository
}

function failureOf(error: unknown): LaneFailure {
  // Only plain values of the context cross.
  const context = error instanceof VarveError ? (JSON.parse(JSON.stringify(error.context)) as Record<string, unknown>) : {}
  return { ...errorReport(error), context }
}

function send(message: FromLane): void {
  port.postMessage(message)
}

async function close(): Promise<void> {
  for (const abort of running.values()) abort.abort(new Error('the lane is closed'))
  await targets.close()
  await opened?.store.close()
  port.close()
  // Should a connection of the store linger, the thread ends all the same.
  setTimeout(() => process.exit(), LINGER_MS).unref()
}
