import { errorReport } from '@varve/errors'
import type { Logger } from './log.ts'
import { sleep } from './sleep.ts'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000
/** An attempt that takes longer than this is waiting, too: a connection that hangs, a client that tries again by itself. */
const SAY_MS = 2000
/** A dependency that stays away is named again this often: somebody who looks at the log now should see why nothing happens. */
const SAY_AGAIN_MS = 5 * 60_000

export interface WaitOptions {
  readonly log: Logger
  /** Gives up waiting. */
  readonly signal?: AbortSignal
  /** May another attempt succeed? Default: the error says of itself that it is retryable. */
  readonly isPassing?: (error: unknown) => boolean
}

/**
 * Open something that may not be there yet: for ever, with pauses that grow to five seconds, saying once that it is waited for and once that it came.
 * What waiting does not help (a wrong password, a newer format) is thrown at once.
 */
export async function waitFor<Result>(name: string, open: () => Promise<Result>, options: WaitOptions): Promise<Result> {
  const { log, signal, isPassing = error => errorReport(error).retryable } = options
  const began = performance.now()
  let saidAt: number | undefined
  const say = (facts: object): void => {
    if (saidAt !== undefined && performance.now() - saidAt <= SAY_AGAIN_MS) return
    log.warn({ dependency: name, ...facts }, `waiting for the ${name}`)
    saidAt = performance.now()
  }
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const slow = setTimeout(() => say({}), SAY_MS)
    try {
      const result = await open()
      if (saidAt !== undefined) log.info({ dependency: name, ms: Math.round(performance.now() - began) }, `the ${name} is there`)
      return result
    } catch (error) {
      if (!isPassing(error)) throw error
      say(errorReport(error))
    } finally {
      clearTimeout(slow)
    }
    await sleep(pause, signal)
  }
}
