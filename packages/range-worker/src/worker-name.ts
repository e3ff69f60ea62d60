import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

/** The catalog takes 200 characters. */
const HOST_MAX = 150

/** Names for attempts: which host and process, for people, and a random part, so that a name is never used for two. */
export function workerNames(host: string = hostname(), pid: number = process.pid): () => string {
  const prefix = `${host.slice(0, HOST_MAX)}/${pid}`
  return () => `${prefix}/${randomBytes(8).toString('hex')}`
}
