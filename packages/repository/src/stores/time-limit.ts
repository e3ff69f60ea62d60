import { RepositoryError } from '../errors.ts'

/**
 * Wait for something that cannot be cancelled, such as a file system that hangs, but not longer than `ms` and not after the
 * signal. What it waited for may still go on.
 *
 * @throws RepositoryError STORE_UNAVAILABLE, or the signal's reason
 */
export async function withTimeLimit<T>(ms: number, doing: string, signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted()
  let stop: (() => void) | undefined
  let timer: NodeJS.Timeout | undefined
  const stopped = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new RepositoryError('STORE_UNAVAILABLE', `${doing} did not end in ${ms} ms`)), ms)
    stop = () => reject(signal?.reason)
    signal?.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([call(), stopped])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop!)
  }
}
