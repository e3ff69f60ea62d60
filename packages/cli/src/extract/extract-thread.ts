import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { openRepository, openStore, RepositoryError } from '@varve/repository'
import { CliError } from '../errors.ts'
import { countedStore } from './counted-store.ts'
import { type FromThread, ownLane, type ThreadSettings, type ToThread } from './lane.ts'

/** A thread of `varve extract`: fetches, checks and writes pieces of a disk with connections of its own. It lives until it is terminated. */

const port = parentPort as MessagePort
const settings = workerData as ThreadSettings
const opened = open()
opened.catch(() => {})

async function open() {
  const { store, counts } = countedStore(await openStore(settings.repositoryUrl, settings.storeSettings))
  return { counts, lane: ownLane(await openRepository(store), settings, new AbortController().signal) }
}

port.on('message', ({ id, piece }: ToThread) => {
  opened
    .then(async ({ lane, counts }) => answer({ id, result: await lane.run(piece), counts }))
    .catch((error: unknown) => answer({ id, error: described(error) }))
})

function answer(message: FromThread): void {
  port.postMessage(message)
}

function described(error: unknown): Extract<FromThread, { error: unknown }>['error'] {
  if (error instanceof RepositoryError) return { source: 'repository', code: error.code, message: error.message }
  if (error instanceof CliError) return { source: 'cli', code: error.code, message: error.message }
  return { source: 'other', code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) }
}
