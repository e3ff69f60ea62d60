import { setTimeout } from 'node:timers/promises'

/** Wait, unless the signal aborts first (then it throws the signal's reason). */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await setTimeout(ms, undefined, signal === undefined ? {} : { signal })
  } catch (error) {
    throw signal?.aborted ? signal.reason : error
  }
}
